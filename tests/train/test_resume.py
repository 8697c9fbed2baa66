"""A stopped run, started again, is the run that was never stopped: bit for bit."""

from __future__ import annotations

import itertools
import json
import signal
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch

from tests.train.conftest import OBJECTIVES, assert_same, batches, model, stage, train_config, weights
from towpath.core.metrics import read_log
from towpath.train.stage import Stage, run_stage
from towpath.train.stop import StoppedError

STEADY = ("train/loss", "train/grad_norm", "train/learning_rate", "validation/loss")


class Killed(BaseException):
    """Stands for SIGKILL: nothing in the package handles it."""


def kill_at(one: Stage, step: int) -> None:
    """Let ``one`` die when the batch of ``step`` is asked for."""
    source = one.batches

    class Deadly:
        def batch(self, at: int):
            if at == step:
                raise Killed
            return source.batch(at)

        describe = source.describe

    one.batches = Deadly()


def figures(folder: Path) -> list[tuple[int, str, float]]:
    return [
        (row["step"], row["name"], row["value"])
        for row in read_log(folder / "log.jsonl")
        if row["name"] in STEADY
    ]


def with_validation(one: Stage) -> Stage:
    def validate(decoder) -> Mapping[str, float]:
        torch.rand(3)  # a validation may use random numbers; training must not notice
        return {"validation/loss": float(decoder.head_weight.sum())}

    one.validate = validate
    one.sample = lambda decoder: f"{float(decoder.head_weight[0, 0]):.9f}"
    return one


@pytest.mark.parametrize(
    ("kind", "optimizer", "workers"),
    [
        *itertools.product(["gpt2", "modern"], ["adamw", "muon"], [0, 2]),
        ("bert", "muon", 2),
        ("t5", "adamw", 2),
    ],
)
def test_killed_and_resumed_equals_uninterrupted(
    tmp_path: Path, kind: str, optimizer: str, workers: int
) -> None:
    objective = {"type": OBJECTIVES.get(kind, "causal")}
    config = train_config(optimizer={"type": optimizer}, dataloader_num_workers=workers, objective=objective)
    whole = model(kind)
    run_stage(with_validation(stage(tmp_path / "whole", config)), whole)

    folder = tmp_path / "parts"
    for step in (3, 6, 9):
        one = with_validation(stage(folder, config))
        kill_at(one, step)
        with pytest.raises(Killed):
            run_stage(one, model(kind))
    resumed = model(kind)
    run_stage(with_validation(stage(folder, config)), resumed)

    assert_same(weights(whole), weights(resumed))
    assert figures(tmp_path / "whole") == figures(folder)
    assert (tmp_path / "whole" / "samples.jsonl").read_text() == (folder / "samples.jsonl").read_text()


def test_a_different_seed_gives_different_weights(tmp_path: Path) -> None:
    """Dropout draws from the seed, so this shows that the equality above is not trivial."""
    config = train_config()
    first, second = model(), model()
    run_stage(stage(tmp_path / "a", config), first)
    other = stage(tmp_path / "b", config)
    other.seed = 8
    run_stage(other, second)
    assert not torch.equal(first.head_weight, second.head_weight)


def test_recomputed_activations_give_the_same_weights(tmp_path: Path) -> None:
    plain, again = model(), model()
    run_stage(stage(tmp_path / "a", train_config()), plain)
    run_stage(stage(tmp_path / "b", train_config(gradient_checkpointing=True)), again)
    assert_same(weights(plain), weights(again))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_stops(tmp_path: Path, number: signal.Signals) -> None:
    config = train_config(save_steps=100)
    one = stage(tmp_path / "one", config)
    source = one.batches

    class Signals:
        def batch(self, step: int):
            if step == 4:
                signal.raise_signal(number)
            return source.batch(step)

        describe = source.describe

    one.batches = Signals()
    with pytest.raises(StoppedError, match="Run the same command to go on") as stopped:
        run_stage(one, model())
    assert stopped.value.exit_code == 128 + number
    assert [path.name for path in (tmp_path / "one" / "checkpoints").iterdir()] == ["step-000005"]

    whole, resumed = model(), model()
    run_stage(stage(tmp_path / "whole", config), whole)
    run_stage(stage(tmp_path / "one", config), resumed)
    assert_same(weights(whole), weights(resumed))


def test_resuming_with_other_threads_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = stage(tmp_path, train_config())
    kill_at(one, 6)
    with pytest.raises(Killed):
        run_stage(one, model())
    run_stage(stage(tmp_path, train_config(threads=2)), model())
    assert "this run was started with threads = 1, now it is 2" in capsys.readouterr().err


def test_a_damaged_checkpoint_is_set_aside_for_an_older_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = train_config()
    one = stage(tmp_path / "one", config)
    kill_at(one, 9)
    with pytest.raises(Killed):
        run_stage(one, model())
    path = tmp_path / "one" / "checkpoints" / "step-000008" / "optimizer.safetensors"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)
    whole, resumed = model(), model()
    run_stage(stage(tmp_path / "one", config), resumed)
    message = capsys.readouterr().err
    assert "optimizer.safetensors is damaged" in message
    assert "going on at step 4 of 12" in message
    run_stage(stage(tmp_path / "whole", config), whole)
    assert_same(weights(whole), weights(resumed))


def test_a_checkpoint_damaged_twice_is_set_aside_twice(tmp_path: Path) -> None:
    for _ in range(2):
        one = stage(tmp_path / "one", train_config())
        kill_at(one, 9)
        with pytest.raises(Killed):
            run_stage(one, model())
        (tmp_path / "one" / "checkpoints" / "step-000008" / "model.safetensors").write_bytes(b"")
    whole, resumed = model(), model()
    run_stage(stage(tmp_path / "one", train_config()), resumed)
    aside = sorted(path.name for path in (tmp_path / "one" / "checkpoints").glob("*.damaged*"))
    assert aside == ["step-000008.damaged", "step-000008.damaged-2"]
    run_stage(stage(tmp_path / "whole", train_config()), whole)
    assert_same(weights(whole), weights(resumed))


@pytest.mark.parametrize("at", [1, 3])
def test_a_run_that_may_rewind_goes_on_when_killed_before_its_first_save(tmp_path: Path, at: int) -> None:
    config = train_config(guard={"on_loss_spike": "rewind"})
    one = stage(tmp_path / "one", config)
    kill_at(one, at)
    with pytest.raises(Killed):
        run_stage(one, model())
    whole, resumed = model(), model()
    run_stage(stage(tmp_path / "one", config), resumed)
    run_stage(stage(tmp_path / "whole", config), whole)
    assert_same(weights(whole), weights(resumed))


def test_the_data_position_is_said_on_resume(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = train_config()
    one = stage(tmp_path, config)
    kill_at(one, 5)
    with pytest.raises(Killed):
        run_stage(one, model())
    run_stage(stage(tmp_path, config), model())
    assert "going on at step 4 of 12 with samples 32 to 39" in capsys.readouterr().err


def test_the_order_of_samples_does_not_depend_on_ranks() -> None:
    config = train_config(gradient_accumulation_steps=4)
    alone = batches(config)
    for step in (0, 3):
        one = torch.cat([micro["input_ids"] for micro in alone.batch(step).micro_batches])
        ranks = []
        for rank in (0, 1):
            shared = batches(config)
            shared.accumulation, shared.rank, shared.world_size = 2, rank, 2
            ranks.append([micro["input_ids"] for micro in shared.batch(step).micro_batches])
            assert shared.batch(step).target_tokens == alone.batch(step).target_tokens
        together = torch.cat([part for pair in zip(*ranks, strict=True) for part in pair])
        assert torch.equal(one, together)


def test_log_rows_are_json_with_units(tmp_path: Path) -> None:
    run_stage(stage(tmp_path, train_config()), model())
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert {row["unit"] for row in rows if row["name"] == "train/loss"} == {"nats/token"}
    assert len([row for row in rows if row["name"] == "train/loss"]) == 12


def test_a_checkpoint_that_was_read_and_is_pruned_gives_back_its_room_on_the_disk(tmp_path: Path) -> None:
    """A mapped file keeps its room until the last that maps it lets go, whatever its folder shows."""
    config = train_config(keep_checkpoints=1)
    one = stage(tmp_path, config)
    kill_at(one, 5)
    with pytest.raises(Killed):
        run_stage(one, model())
    second = stage(tmp_path, config)
    source, mapped = second.batches, []

    class Looks:
        def batch(self, step: int):
            if step == 9:  # after the save of step 8
                mapped.append("step-000004" in Path("/proc/self/maps").read_text())
            return source.batch(step)

        describe = source.describe

    second.batches = Looks()
    run_stage(second, model())
    assert not (tmp_path / "checkpoints" / "step-000004").exists()
    assert mapped == [False]
