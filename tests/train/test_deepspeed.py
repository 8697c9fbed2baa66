"""DeepSpeed: its configuration is the specification's block, its loss scale ours, its saves anybody's."""

from __future__ import annotations

import errno
import os
import shutil
import signal
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch

from tests.train.conftest import assert_same, model, stage, train_config
from tests.train.ranks import ended, final_weights, start, train
from tests.train.test_parallel import alone, assert_equal_runs, config_of
from tests.train.test_sharded_saves import damages
from towpath.core.config import change
from towpath.train import saves
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


def test_muon_is_refused_with_what_to_take_instead() -> None:
    with pytest.raises(ValueError, match=r'"muon" is not for parallel.type = "deepspeed".*fsdp.*"adamw"'):
        change(train_config(optimizer={"type": "muon"}), {"parallel": {"type": "deepspeed"}})


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
    config = config_of(max_steps=4, save_steps=2)
    single = alone(tmp_path / "single", config, "gpt2")
    with_zero = change(config, {"parallel": {"type": "deepspeed", "zero_stage": zero}})
    two = tmp_path / "two"
    assert train(two, with_zero, 2) == [0, 0]
    assert_equal_runs(single, two)
    newest = two / "checkpoints" / "step-000004"
    (newest / "optimizer.safetensors").write_bytes((newest / "optimizer.safetensors").read_bytes()[:-100])
    saved = newest_good_save(two / "checkpoints")
    assert saved is not None
    assert saved.step == 2, "a torn save was read"
    shutil.copytree(two, tmp_path / "one")
    assert train(two, with_zero, 2) == [0, 0]
    assert_equal_runs(single, two)
    assert_equal_runs(single, alone(tmp_path / "one", config, "gpt2"))


def disturbed(folder: Path, config: TrainConfig, fault: str) -> list[int]:
    """A job of two whose first process, which writes, has ``fault`` in the middle of the save of step 4."""

    def work(rank: int) -> None:
        torch.set_num_threads(1)
        write = saves.save_tensors

        def failing(path: Path, tensors: Mapping[str, torch.Tensor]) -> None:
            if path.parent.name.startswith("step-000004") and path.name.startswith("optimizer"):
                path.write_bytes(b"cut short")
                if fault == "kill":
                    os.kill(os.getpid(), signal.SIGKILL)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            write(path, tensors)

        saves.save_tensors = failing
        run_stage(stage(folder, config), model("gpt2", 0.0))

    return ended(start(work, 2))


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(("zero", "fault"), [(2, "kill"), (3, "disk full")])
def test_whatever_happens_to_a_save_of_zero_the_run_ends_with_the_same_bits(
    tmp_path: Path, zero: int, fault: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DS_ACCELERATOR", "cpu")
    pytest.importorskip("deepspeed.runtime.zero.muon.muon_optimizer", reason="DeepSpeed is not installed")
    config = config_of(max_steps=4, save_steps=2, **{"parallel": {"type": "deepspeed", "zero_stage": zero}})
    whole, folder = tmp_path / "whole", tmp_path / "disturbed"
    assert train(whole, config, 2) == [0, 0]
    folder.mkdir()
    capfd.readouterr()

    first, second = disturbed(folder, config, fault)
    said = capfd.readouterr().err
    assert first == (-signal.SIGKILL if fault == "kill" else 1)
    assert second != 0
    if fault == "disk full":
        assert "no space left on the device for the checkpoint step-000004, which takes" in said
        assert "Another process of this job has no space left" in said
        assert not list((folder / "checkpoints").glob("*.partial"))
    assert newest_step(folder) == 2
    assert train(folder, config, 2) == [0, 0]
    assert_same(dict(final_weights(whole)), dict(final_weights(folder)))
    assert_no_damage_is_missed(folder / "checkpoints", tmp_path)


def assert_no_damage_is_missed(checkpoints: Path, place: Path) -> None:
    for name in [path.name for path in (checkpoints / "step-000004").iterdir()]:
        for number, content in enumerate(damages(checkpoints / "step-000004" / name).values()):
            copy = place / f"{name}-{number}"
            shutil.copytree(checkpoints, copy / "checkpoints")
            (copy / "checkpoints" / "step-000004" / name).write_bytes(content)
            assert newest_step(copy) == 2, (name, number)


def newest_step(folder: Path) -> int:
    saved = newest_good_save(folder / "checkpoints")
    assert saved is not None
    return saved.step
