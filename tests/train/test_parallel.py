"""Every mode of several processes is the single process: losses and final weights to 1e-6 in fp32."""

from __future__ import annotations

import importlib
import importlib.util
import itertools
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.train.conftest import (
    OBJECTIVES,
    assert_same,
    batches,
    model,
    model_config,
    stage,
    train_config,
    weights,
)
from tests.train.ranks import final_weights, train
from towpath.core.config import change
from towpath.core.errors import TrainError
from towpath.core.metrics import read_log
from towpath.train.config import TrainConfig
from towpath.train.parallel import PARALLEL
from towpath.train.parallel.share import Share, share_of
from towpath.train.stage import run_stage

COMPARED = ("train/loss", "train/grad_norm", "train/learning_rate")
RATE = 6e-4
"""The default peak. Adam divides by the root of the second moment, so the last bit of a tiny gradient
can move a weight by a share of the rate: at 3e-3 the largest difference was 1.3e-6."""


def figures(folder: Path) -> list[tuple[int, str, float]]:
    return [
        (row["step"], row["name"], row["value"])
        for row in read_log(folder / "log.jsonl")
        if row["name"] in COMPARED
    ]


def config_of(**changes: object) -> TrainConfig:
    """Accumulation on two processes, and a norm that clips."""
    return train_config(
        **{"learning_rate": RATE, "gradient_accumulation_steps": 4, "max_grad_norm": 0.3, **changes}
    )


def assert_equal_runs(left: Path, right: Path) -> None:
    """Figures and final weights of two stages to 1e-6."""
    one, other = figures(left), figures(right)
    assert [row[:2] for row in one] == [row[:2] for row in other]
    for (step, name, value), (_, _, compared) in zip(one, other, strict=True):
        assert compared == pytest.approx(value, abs=1e-6, rel=1e-6), (step, name)
    expected, got = final_weights(left), final_weights(right)
    assert expected.keys() == got.keys()
    for name, value in expected.items():
        torch.testing.assert_close(got[name], value, rtol=0, atol=1e-6, msg=name)


def alone(folder: Path, config: TrainConfig, kind: str) -> Path:
    decoder = model(kind, 0.0)
    run_stage(stage(folder, config), decoder)
    save_file(weights(decoder), folder / "weights.safetensors")
    return folder


def test_two_processes_of_data_parallelism_are_one(tmp_path: Path) -> None:
    config = config_of()
    single = alone(tmp_path / "single", config, "gpt2")
    assert any(value > 0.3 for _, name, value in figures(single) if name == "train/grad_norm"), (
        "nothing was clipped"
    )
    assert train(tmp_path / "ddp", change(config, {"parallel.type": "ddp"}), 2) == [0, 0]
    assert_equal_runs(single, tmp_path / "ddp")


def modes_of(optimizer: str, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, object]]:
    """Every mode that takes ``optimizer``, loaded once and not in every process."""
    modes: list[dict[str, object]] = [{"type": name} for name in ("ddp", "fsdp", "tensor", "context")]
    if optimizer == "adamw" and importlib.util.find_spec("deepspeed"):
        monkeypatch.setenv("DS_ACCELERATOR", "cpu")
        importlib.import_module("deepspeed.runtime.zero.muon.muon_optimizer")
        modes += [{"type": "deepspeed", "zero_stage": zero} for zero in (1, 2, 3)]
    for module in ("sharded", "cut_model", "windows"):
        importlib.import_module(f"towpath.train.parallel.{module}")
    return modes


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(("kind", "optimizer"), [("gpt2", "adamw"), ("modern", "muon")])
def test_every_mode_on_two_processes_is_one(
    tmp_path: Path, kind: str, optimizer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_of(optimizer={"type": optimizer}, max_steps=6)
    single = alone(tmp_path / "single", config, kind)
    for mode in modes_of(optimizer, monkeypatch):
        folder = tmp_path / "-".join(str(value) for value in mode.values())
        assert train(folder, change(config, {"parallel": mode}), 2, kind) == [0, 0], mode
        assert_equal_runs(single, folder)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", ["bert", "t5", "recurrent"])
def test_other_families_on_two_processes_are_one(tmp_path: Path, kind: str) -> None:
    config = config_of(objective={"type": OBJECTIVES.get(kind, "causal")}, max_steps=4, save_steps=4)
    single = alone(tmp_path / "single", config, kind)
    for mode in ("ddp", "fsdp"):
        assert train(tmp_path / mode, change(config, {"parallel": {"type": mode}}), 2, kind) == [0, 0], mode
        assert_equal_runs(single, tmp_path / mode)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_head": 3, "n_kv_head": 3, "n_embd": 48}, r"n_head = 3 can't be cut into 2.* 1 processes.* = 6"),
        ({"n_kv_head": 1}, r"n_kv_head = 1 can't be cut into 2.* 1 processes.* = 2"),
        (
            {"n_head": 1, "n_kv_head": 1, "n_embd": 18},
            r"n_head = 1 can't be cut into 2.*Start 1 processes\.$",
        ),
        ({"n_inner": 33}, r"model\.n_inner = 33 can't be cut into 2.*set model\.n_inner = 34"),
    ],
)
def test_a_model_that_cannot_be_cut_is_refused_with_a_number_that_works(changes: dict, message: str) -> None:
    from towpath.model.decoder import build
    from towpath.train.parallel.cut_model import check_cuts

    with pytest.raises(TrainError, match=message):
        check_cuts(build(change(model_config("modern"), changes), seed=1), 2)


@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_a_step_holds_the_same_samples_for_every_number_of_processes(ranks: int) -> None:
    whole = batches(config_of())

    class Place:
        data_rank = 0
        data_ranks = ranks

    for step in (0, 3):
        shares = []
        for rank in range(ranks):
            Place.data_rank = rank
            shares.append(share_of(whole, Place()).batch(step))
        expected = whole.batch(step)
        assert {share.target_tokens for share in shares} == {expected.target_tokens}
        dealt = itertools.zip_longest(*(share.micro_batches for share in shares))
        found = [micro_batch for turn in dealt for micro_batch in turn if micro_batch]
        assert len(found) == len(expected.micro_batches)
        for one, other in zip(found, expected.micro_batches, strict=True):
            assert torch.equal(one["input_ids"], other["input_ids"])


def test_micro_batches_that_cannot_be_shared_evenly_are_refused_with_a_number_that_works() -> None:
    with pytest.raises(TrainError, match=r"3 micro-batches.* 2 processes.*accumulation_steps = 4"):
        Share(batches(config_of(gradient_accumulation_steps=3)), 0, 2).batch(0)


def test_several_processes_without_a_mode_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    with pytest.raises(TrainError, match="2 processes were started.*parallel.type=ddp"):
        run_stage(stage(tmp_path, train_config()), model())


@pytest.mark.parametrize("mode", [name for name in PARALLEL.names() if name != "single"])
def test_a_mode_without_a_job_says_how_to_start_one(
    tmp_path: Path, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(TrainError, match="towpath launch local -n 2"):
        run_stage(stage(tmp_path, change(train_config(), {"parallel": {"type": mode}})), model())


def test_dropout_differs_between_processes_and_is_repeated_when_resumed(tmp_path: Path) -> None:
    config = config_of(max_steps=4, save_steps=2, **{"parallel": {"type": "ddp"}})
    assert train(tmp_path / "whole", config, 2, dropout=0.3) == [0, 0]
    parts = tmp_path / "parts"
    assert train(parts, change(config, {"max_steps": 4}), 2, dropout=0.3) == [0, 0]
    newest = parts / "checkpoints" / "step-000004"
    newest.rename(newest.with_name("elsewhere"))
    assert train(parts, config, 2, dropout=0.3) == [0, 0]
    assert_same(final_weights(tmp_path / "whole"), final_weights(parts))
    states = load_file(parts / "checkpoints" / "step-000004" / "random.safetensors")
    assert not torch.equal(states["cpu"], states["1/cpu"])
