"""Out of memory: said with where it went and what to do, or the same step in smaller passes, bit for bit."""

from __future__ import annotations

import json
import re
import resource
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from tests.train.conftest import assert_same, batches, model, stage, train_config, weights
from tests.train.ranks import ended, final_weights, start, train
from tests.train.test_parallel import alone, assert_equal_runs, config_of
from tests.train.test_resume import Killed, figures, kill_at
from towpath.core.config import change, identity
from towpath.core.errors import TrainError
from towpath.core.files import readable_json
from towpath.core.units import size
from towpath.model.language_model import LanguageModel
from towpath.train import smaller_batches
from towpath.train.config import TrainConfig
from towpath.train.events import EventLog
from towpath.train.memory import OutOfMemoryError, is_out_of_memory
from towpath.train.parallel.heartbeat import LOST
from towpath.train.saves import newest_good_save
from towpath.train.smaller_batches import SmallerBatches
from towpath.train.stage import run_stage

MESSAGE = "CUDA out of memory. Tried to allocate 2.00 GiB."
AUTO = train_config(auto_micro_batch=True)


def small(decoder: LanguageModel, most: int, calls: range) -> LanguageModel:
    """``decoder`` on a device with room for ``most`` sequences in forward passes of these numbers, from 0."""
    made = 0

    def no_room(module: nn.Module, given: object, named: dict[str, torch.Tensor]) -> None:
        nonlocal made
        made += 1
        if made - 1 in calls and len(named["input_ids"]) > most:
            raise torch.OutOfMemoryError(MESSAGE)

    decoder.register_forward_pre_hook(no_room, with_kwargs=True)
    return decoder


def run(folder: Path, config: TrainConfig, decoder: LanguageModel) -> dict[str, torch.Tensor]:
    run_stage(stage(folder, config), decoder)
    return weights(decoder)


def test_cut_from_the_first_step_it_is_the_run_that_was_configured_so(tmp_path: Path) -> None:
    """Bit for bit, with dropout: the second pass of the first step finds no room, after gradients of one."""
    configured = train_config(batch_size=2, gradient_accumulation_steps=4)
    expected = run(tmp_path / "configured", configured, model())
    assert_same(expected, run(tmp_path / "cut", AUTO, small(model(), 2, range(1, 1000))))
    assert figures(tmp_path / "configured") == figures(tmp_path / "cut")


def test_halved_again_until_it_fits_and_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    configured = train_config(batch_size=1, gradient_accumulation_steps=8)
    expected = run(tmp_path / "configured", configured, model())
    assert_same(expected, run(tmp_path / "cut", AUTO, small(model(), 1, range(1000))))
    said = capsys.readouterr().err
    assert "step 1: out of memory with 4 sequences in a forward pass; made again with 2" in said
    assert "step 1: out of memory with 2 sequences in a forward pass; made again with 1" in said


def test_a_run_killed_around_it_ends_with_the_bits_of_one_that_was_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Step 6 finds no room. The resumed processes have room for all and cut the same steps all the same."""
    second_of_step_6 = range(11, 12)
    expected = run(tmp_path / "whole", AUTO, small(model(), 2, second_of_step_6))
    assert not all(
        torch.equal(value, expected[name]) for name, value in run(tmp_path / "never", AUTO, model()).items()
    ), "the cut changed no bit, so the equality below shows nothing"

    forget = smaller_batches._forget
    monkeypatch.setattr(smaller_batches, "_forget", lambda strategy: (_ for _ in ()).throw(Killed()))
    with pytest.raises(Killed):  # with the cut on the disk, before the step is made again
        run(tmp_path / "parts", AUTO, small(model(), 2, second_of_step_6))
    monkeypatch.setattr(smaller_batches, "_forget", forget)
    for step in (6, 9):  # before the next save, and after it
        one = stage(tmp_path / "parts", AUTO)
        kill_at(one, step)
        with pytest.raises(Killed):
            run_stage(one, model())
    saved = newest_good_save(tmp_path / "parts" / "checkpoints")
    assert saved is not None
    assert saved.facts["smaller_batches"][0]["step"] == 6
    (tmp_path / "parts" / "micro_batches.json").unlink()  # the checkpoint knows it too
    without = train_config(auto_micro_batch=False)
    assert_same(expected, run(tmp_path / "parts", without, model()))
    assert figures(tmp_path / "whole") == figures(tmp_path / "parts")
    whole, parts = (list(EventLog(tmp_path / one / "events.jsonl").rows()) for one in ("whole", "parts"))
    assert whole == parts
    assert whole == [
        {
            "step": 6,
            "kind": "out of memory",
            "action": "smaller micro-batches",
            "batch_size": 2,
            "batch_size_before": 4,
        }
    ]


def test_without_the_option_it_says_where_the_memory_went_and_goes_on_with_it(tmp_path: Path) -> None:
    decoder = small(model(), 2, range(11, 1000))
    with pytest.raises(OutOfMemoryError) as caught:
        run_stage(stage(tmp_path / "run", train_config()), decoder)
    said = str(caught.value)
    assert "Step 6: out of memory on the CPU with 4 sequences in a forward pass (CUDA out of memory" in said
    held = 4 * sum(value.numel() for value in decoder.parameters())
    assert caught.value.account["parameters"] == caught.value.account["gradients"] == held
    assert caught.value.account["optimizer"] == 2 * held + 4 * len(list(decoder.parameters()))
    for kind, taken in caught.value.account.items():
        assert re.search(rf"  {kind} +{re.escape(size(taken))}\n", said), kind
    assert [line.split(":")[0].split("=")[0].strip() for line in said.splitlines()[-3:]] == [
        "train.auto_micro_batch",
        "train.gradient_checkpointing",
        "train.parallel.type",
    ]
    assert identity(AUTO) == identity(train_config()), "with the remedy it would be another run"
    expected = run(tmp_path / "whole", AUTO, small(model(), 2, range(8, 1000)))
    assert_same(expected, run(tmp_path / "run", AUTO, small(model(), 2, range(1000))))


def test_one_sequence_that_does_not_fit_is_the_end(tmp_path: Path) -> None:
    with pytest.raises(OutOfMemoryError, match="with 1 sequences in a forward pass") as caught:
        run_stage(stage(tmp_path, AUTO), small(model(), 0, range(1000)))
    assert "auto_micro_batch" not in str(caught.value)


def test_an_odd_micro_batch_is_cut_into_all_its_sequences() -> None:
    smaller = SmallerBatches(enabled=True)
    smaller.load([{"step": 3, "batch_size": 3}], write=False)
    batch = batches(train_config(batch_size=5)).batch(0)
    assert smaller.cut(batch, 2) is batch
    cut = smaller.cut(batch, 3)
    assert [len(one["input_ids"]) for one in cut.micro_batches] == [3, 2, 3, 2]
    assert cut.target_tokens == batch.target_tokens
    for name in batch.micro_batches[0]:
        together = [torch.cat([one[name] for one in each.micro_batches]) for each in (batch, cut)]
        assert torch.equal(*together)


def test_what_is_out_of_memory_and_what_is_another_failure() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 60)
    assert is_out_of_memory(caught.value), "torch's allocator on a CPU says it in other words"
    assert is_out_of_memory(torch.OutOfMemoryError(MESSAGE))
    assert not is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    assert not is_out_of_memory(MemoryError())


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_of_two_processes_one_without_room_ends_the_job_and_the_next_start_has_smaller_batches(
    tmp_path: Path,
) -> None:
    config = config_of(max_steps=6, save_steps=2)
    single = alone(tmp_path / "single", config, "gpt2")
    shared = change(config, {"parallel.type": "ddp", "auto_micro_batch": True})
    folder = tmp_path / "job"
    folder.mkdir()

    def work(rank: int) -> None:
        torch.set_num_threads(1)
        decoder = model(dropout=0.0)
        try:
            run_stage(stage(folder, shared), small(decoder, 2, range(8, 1000)) if rank else decoder)
        except Exception as error:
            (folder / f"said-{rank}").write_text(str(error))
            raise

    first, second = ended(start(work, 2))
    assert second == LOST, "the launcher starts such a job again"
    assert first != 0
    assert "rank 1, step 5: out of memory with 4 sequences" in (folder / "said-1").read_text()
    assert json.loads((folder / "micro_batches.json").read_bytes())["events"][0]["batch_size"] == 2
    assert train(folder, shared, 2) == [0, 0]
    assert_equal_runs(single, folder)
    assert [event["step"] for event in EventLog(folder / "events.jsonl").rows()] == [5]


def test_a_cut_that_is_known_is_not_added_twice(tmp_path: Path) -> None:
    path = tmp_path / "micro_batches.json"
    event = {"step": 4, "batch_size": 2}
    path.write_bytes(readable_json({"events": [event]}))
    smaller = SmallerBatches(path=path)
    smaller.load([event], write=True)
    smaller.load([{"step": 6, "batch_size": 1}], write=True)
    assert SmallerBatches(path=path).state() == [event, {"step": 6, "batch_size": 1}]
    assert [smaller.rows(step) for step in (3, 4, 5, 6)] == [None, 2, 2, 1]


@pytest.mark.slow  # for what following a step without its numbers takes
def test_the_command_line_adds_what_the_plan_knows(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from towpath.cli.memory import memory_planned
    from towpath.recipes import recipe

    monkeypatch.setenv("TOWPATH_HOME", str(tmp_path))
    sizes = {"model.n_layer": 1, "train.batch_size": 2, "train.gradient_accumulation_steps": 2}
    config = change(recipe("tiny"), {**sizes, "train.optimizer": {"type": "adamw"}})
    with pytest.raises(TrainError) as caught, memory_planned(config):
        raise OutOfMemoryError("Step 3: out of memory.", {"parameters": 1}, room_bytes=24 * 10**9)
    said = str(caught.value)
    kinds = ("parameters", "gradients", "optimizer", "activations")
    assert re.search("the peak of .* is .*" + ".*, ".join(rf"{kind} \d" for kind in kinds), said)
    settings = re.findall(r"train\.batch_size=(\d+) train\.gradient_accumulation_steps=(\d+)", said)
    step = config.train.batch_size * config.train.gradient_accumulation_steps
    assert settings
    assert all(int(size) * int(passes) == step for size, passes in settings)
    with pytest.raises(TrainError, match="^another failure$"), memory_planned(config):
        raise TrainError("another failure")


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_where_the_allocator_itself_fails_the_step_is_made_in_passes_that_fit(tmp_path: Path) -> None:
    """4,096 sequences take about 300 MB; the process may take 100 MB more than it has."""
    rows = 4096
    config = train_config(batch_size=rows, gradient_accumulation_steps=1, max_steps=1, warmup_steps=0)
    (tmp_path / "job").mkdir()

    def work(rank: int) -> None:
        torch.set_num_threads(1)
        taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (taken + (100 << 20), resource.RLIM_INFINITY))
        decoder = model()
        run_stage(stage(tmp_path / "job", change(config, {"auto_micro_batch": True})), decoder)
        save_file(weights(decoder), tmp_path / "job" / "weights.safetensors")

    assert ended(start(work, 1)) == [0]
    fitting = list(EventLog(tmp_path / "job" / "events.jsonl").rows())[-1]["batch_size"]
    assert fitting < rows
    smaller = change(config, {"batch_size": fitting, "gradient_accumulation_steps": rows // fitting})
    assert_same(run(tmp_path / "configured", smaller, model()), dict(final_weights(tmp_path / "job")))


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("mode", [{"type": "fsdp"}, {"type": "deepspeed", "zero_stage": 2}])
def test_smaller_passes_in_every_mode_are_the_same_steps(
    tmp_path: Path, mode: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    if mode["type"] == "deepspeed":
        monkeypatch.setenv("DS_ACCELERATOR", "cpu")
        pytest.importorskip("deepspeed.runtime.zero.muon.muon_optimizer", reason="DeepSpeed is not installed")
    config = config_of(max_steps=4, save_steps=2)
    single = alone(tmp_path / "single", config, "gpt2")
    folder = tmp_path / "job"
    folder.mkdir()
    cut = {"step": 2, "kind": "out of memory", "action": "smaller micro-batches", "batch_size": 2}
    (folder / "micro_batches.json").write_bytes(readable_json({"events": [cut]}))
    assert train(folder, change(config, {"parallel": mode}), 2) == [0, 0]
    assert_equal_runs(single, folder)
