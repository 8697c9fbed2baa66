"""DeepSpeed: its configuration is the specification's block, its loss scale ours, its saves anybody's."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from tests.train.conftest import model, stage, train_config
from tests.train.ranks import train
from tests.train.test_parallel import alone, assert_equal_runs, config_of
from towpath.core.config import change
from towpath.core.errors import TrainError
from towpath.train.config import TrainConfig
from towpath.train.parallel.deepspeed import deepspeed_config, engine_config
from towpath.train.precision import LossScaler
from towpath.train.saves import newest_good_save
from towpath.train.stage import run_stage

SPECIFICATION_TRAINING = {
    **{"learning_rate": 6e-4, "weight_decay": 0.1, "beta1": 0.9, "beta2": 0.95, "epsilon": 1e-8},
    **{"batch_size": 4, "gradient_accumulation_steps": 32, "max_steps": 100000, "warmup_steps": 2000},
    **{"save_steps": 1000, "eval_steps": 500, "fp16": True, "gradient_checkpointing": True},
    "dataloader_num_workers": 4,
}
SPECIFICATION_BLOCK = {
    "zero_optimization": {
        "stage": 2,
        "allgather_partitions": True,
        "allgather_bucket_size": 2e8,
        "reduce_scatter": True,
        "reduce_bucket_size": 2e8,
        "overlap_comm": True,
        "contiguous_gradients": True,
    },
    "fp16": {
        "enabled": True,
        "loss_scale": 0,
        "loss_scale_window": 1000,
        "hysteresis": 2,
        "min_loss_scale": 1,
    },
    "optimizer": {
        "type": "AdamW",
        "params": {"lr": 6e-4, "betas": [0.9, 0.95], "eps": 1e-8, "weight_decay": 0.1},
    },
    "scheduler": {
        "type": "WarmupLR",
        "params": {"warmup_min_lr": 0, "warmup_max_lr": 6e-4, "warmup_num_steps": 2000},
    },
}


def test_the_specifications_settings_give_the_specifications_block() -> None:
    assert deepspeed_config(TrainConfig.model_validate(SPECIFICATION_TRAINING)) == SPECIFICATION_BLOCK


def test_the_configuration_follows_the_settings() -> None:
    config = change(train_config(beta2=0.99), {"parallel": {"type": "deepspeed", "zero_stage": 3}})
    block = deepspeed_config(config)
    assert block["optimizer"]["params"]["betas"] == [0.9, 0.99]
    assert block["zero_optimization"]["stage"] == 3
    assert block["fp16"]["enabled"] is False
    engine = engine_config(config, "fp32", 2)
    assert engine["gradient_accumulation_steps"] == config.gradient_accumulation_steps // 2
    assert engine["gradient_clipping"] == config.max_grad_norm
    assert "optimizer" not in engine


def test_muon_is_refused_with_what_to_take_instead(tmp_path: Path) -> None:
    config = change(train_config(optimizer={"type": "muon"}), {"parallel": {"type": "deepspeed"}})
    with pytest.raises(TrainError, match='"muon" needs each matrix whole.*fsdp'):
        run_stage(stage(tmp_path, config), model())


@pytest.mark.slow  # for what importing DeepSpeed takes
def test_the_loss_scale_goes_as_deepspeeds_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("deepspeed", reason="DeepSpeed is not installed")
    from deepspeed.runtime.fp16 import loss_scaler

    monkeypatch.setattr(loss_scaler.dist, "get_rank", lambda: 0)
    theirs = loss_scaler.DynamicLossScaler(2.0**16, 1000, 1, 2, False, raise_error_at_min_scale=False)
    ours = LossScaler("cpu")
    weight = torch.nn.Parameter(torch.ones(1))
    optimizer = torch.optim.SGD([weight], lr=0.0)
    overflows = {0, 1, 2, 3, 5, 1200, 1201, *range(2400, 2425)}
    for step in range(4600):
        overflow = step in overflows
        weight.grad = torch.full((1,), float("inf") if overflow else 1.0)
        ours.scale(torch.ones(1))
        ours.unscale_(optimizer)
        ours.update()
        theirs.update_scale(overflow)
        assert ours.get_scale() == theirs.cur_scale, step
        if step == 1500:
            state, ours = ours.state_dict(), LossScaler("cpu")
            ours.load_state_dict(state)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("zero", [2, 3])
def test_a_save_of_zero_is_resumed_by_zero_and_by_one_process(
    tmp_path: Path, zero: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DS_ACCELERATOR", "cpu")
    pytest.importorskip("deepspeed.runtime.zero.muon.muon_optimizer", reason="DeepSpeed is not installed")
    config = config_of(max_steps=8, save_steps=4)
    single = alone(tmp_path / "single", config, "gpt2")
    with_zero = change(config, {"parallel": {"type": "deepspeed", "zero_stage": zero}})
    two = tmp_path / "two"
    assert train(two, with_zero, 2) == [0, 0]
    assert_equal_runs(single, two)
    newest = two / "checkpoints" / "step-000008"
    (newest / "optimizer.safetensors").write_bytes((newest / "optimizer.safetensors").read_bytes()[:-100])
    saved = newest_good_save(two / "checkpoints")
    assert saved is not None
    assert saved.step == 4, "a torn save was read"
    shutil.copytree(two, tmp_path / "one")
    assert train(two, with_zero, 2) == [0, 0]
    assert_equal_runs(single, two)
    assert_equal_runs(single, alone(tmp_path / "one", config, "gpt2"))
