"""Experts in training: the same in parts, on several processes and again; the load evens out."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tests.train.conftest import assert_same, model, stage, train_config, weights
from tests.train.ranks import train
from tests.train.test_parallel import assert_equal_runs, config_of
from tests.train.test_resume import Killed, kill_at
from towpath.core.config import change
from towpath.model.experts import COUNT_UNIT, tokens_per_expert
from towpath.model.experts_decoder import ExpertDecoder
from towpath.train.optimizer import build_optimizer
from towpath.train.stage import run_stage


@pytest.mark.parametrize(
    ("kind", "optimizer"), [("moe", "muon"), ("moe-bias", "muon"), ("moe-bias", "adamw")]
)
def test_killed_and_resumed_experts_equal_uninterrupted_ones(
    tmp_path: Path, kind: str, optimizer: str
) -> None:
    config = train_config(optimizer={"type": optimizer}, max_steps=8, save_steps=3)
    whole, resumed = model(kind), model(kind)
    run_stage(stage(tmp_path / "whole", config), whole)
    one = stage(tmp_path / "parts", config)
    kill_at(one, 5)
    with pytest.raises(Killed):
        run_stage(one, model(kind))
    run_stage(stage(tmp_path / "parts", config), resumed)
    assert_same(weights(whole), weights(resumed))
    if kind == "moe-bias":
        assert isinstance(resumed, ExpertDecoder)
        assert any(bool(layer.selection_bias.any()) for layer in resumed.expert_layers)


def alone(folder: Path, config, kind: str) -> Path:
    decoder = model(kind)
    run_stage(stage(folder, config), decoder)
    save_file(weights(decoder), folder / "weights.safetensors")
    return folder


@pytest.mark.parametrize("kind", ["moe", "moe-bias"])
def test_two_processes_with_experts_are_one(tmp_path: Path, kind: str) -> None:
    config = config_of(max_steps=6)
    single = alone(tmp_path / "single", config, kind)
    assert train(tmp_path / "ddp", change(config, {"parallel.type": "ddp"}), 2, kind) == [0, 0]
    assert_equal_runs(single, tmp_path / "ddp")


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["fsdp", "tensor"])
def test_every_mode_of_two_processes_with_experts_is_one(tmp_path: Path, mode: str) -> None:
    for module in ("sharded", "cut_model"):
        importlib.import_module(f"towpath.train.parallel.{module}")
    config = config_of(max_steps=6, optimizer={"type": "muon"})
    single = alone(tmp_path / "single", config, "moe-bias")
    assert train(tmp_path / mode, change(config, {"parallel.type": mode}), 2, "moe-bias") == [0, 0]
    assert_equal_runs(single, tmp_path / mode)


def test_a_step_moves_each_bias_by_the_rate_towards_an_even_load() -> None:
    decoder = model("moe-bias")
    assert isinstance(decoder, ExpertDecoder)
    optimizer = build_optimizer(decoder, train_config())
    bias = decoder.expert_layers[0].selection_bias
    assert bias is not None
    bias.grad = torch.tensor([3.0, -1.0, 0.0, -2.0]) * COUNT_UNIT  # how far each load is above even
    optimizer.step()
    assert bias.tolist() == pytest.approx([-0.002, 0.002, 0.0, 0.002])
    assert max(group["lr"] for group in optimizer.parts["selection_bias"].param_groups) == 0


@pytest.mark.parametrize("kind", ["moe", "moe-bias"])
def test_balance_evens_out_the_load(tmp_path: Path, kind: str) -> None:
    def spread(decoder: ExpertDecoder) -> float:
        """The busiest expert's load over an even one, after a training that starts uneven."""
        with torch.no_grad():
            decoder.expert_layers[0].router.weight[0] += 0.5
            decoder.tokens.weight += 0.1
        loads: list[torch.Tensor] = []
        run_stage(stage(tmp_path / str(decoder.config.balance.type), train_config(max_steps=30)), decoder)
        layer = decoder.expert_layers[0]
        layer.record = lambda layer, routing: loads.append(tokens_per_expert(routing.chosen, 4))
        with torch.no_grad():
            decoder(
                stage(tmp_path / "data", train_config())
                .batches.batch(99)
                .micro_batches[0]["input_ids"][:, :-1]
            )
        return float(loads[0].max() / loads[0].float().mean())

    from towpath.model.language_model import build

    balanced = model(kind)
    free = build(change(balanced.config, {"balance": {"type": "none"}}), seed=1)
    assert isinstance(balanced, ExpertDecoder)
    assert isinstance(free, ExpertDecoder)
    assert spread(balanced) < 0.9 * spread(free)
