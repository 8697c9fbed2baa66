"""Saves of which each process wrote a part: resumed by any number of processes, and never read when torn."""

from __future__ import annotations

import importlib
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch

from tests.train.conftest import model, stage, weights
from tests.train.ranks import ended, final_weights, start, train
from tests.train.test_parallel import alone, assert_equal_runs, config_of
from towpath.core.config import change
from towpath.train.saves import newest_good_save, saved_folders
from towpath.train.stage import run_stage

CONFIG = change(config_of(max_steps=4, save_steps=2), {"parallel": {"type": "fsdp"}})


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return alone(tmp_path_factory.mktemp("single"), change(CONFIG, {"parallel": {"type": "single"}}), "gpt2")


@pytest.fixture(scope="module")
def written_by_two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of two processes with the saves of steps 2 and 4."""
    importlib.import_module("towpath.train.parallel.sharded")  # once, not in every process
    folder = tmp_path_factory.mktemp("two")
    assert train(folder, CONFIG, 2) == [0, 0]
    return folder


def halfway(finished: Path, folder: Path) -> Path:
    shutil.copytree(finished, folder)
    shutil.rmtree(folder / "checkpoints" / "step-000004")
    return folder


def test_a_save_of_two_processes_is_resumed_by_one(
    single: Path, written_by_two: Path, tmp_path: Path
) -> None:
    from safetensors.torch import save_file

    folder = halfway(written_by_two, tmp_path / "one")
    decoder = model("gpt2", 0.0)
    run_stage(stage(folder, change(CONFIG, {"parallel": {"type": "single"}})), decoder)
    save_file(weights(decoder), folder / "weights.safetensors")
    assert_equal_runs(single, folder)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(("mode", "ranks"), [("fsdp", 4), ("ddp", 2), ("tensor", 2)])
def test_a_save_of_two_processes_is_resumed_by_others(
    single: Path, written_by_two: Path, tmp_path: Path, mode: str, ranks: int
) -> None:
    folder = halfway(written_by_two, tmp_path / "others")
    assert train(folder, change(CONFIG, {"parallel": {"type": mode}}), ranks) == [0] * ranks
    assert_equal_runs(single, folder)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_save_of_one_process_is_resumed_by_two(single: Path, tmp_path: Path) -> None:
    folder = halfway(single, tmp_path / "two")
    assert train(folder, CONFIG, 2) == [0, 0]
    assert_equal_runs(single, folder)


def damages(path: Path) -> dict[str, bytes]:
    """What each kind of damage leaves of the file."""
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    return {"a flipped bit": bytes(flipped), "cut short": whole[: len(whole) // 2], "empty": b""}


def test_no_damage_to_a_file_of_a_sharded_save_is_missed(written_by_two: Path, tmp_path: Path) -> None:
    newest = written_by_two / "checkpoints" / "step-000004"
    files = sorted(path.name for path in newest.iterdir() if path.name != "manifest.json")
    assert sum(name.startswith("shard-") for name in files) == 2
    for name in files:
        for number, content in enumerate([*damages(newest / name).values(), None]):
            copy = tmp_path / f"{name}-{number}"
            shutil.copytree(written_by_two / "checkpoints", copy)
            damaged = copy / "step-000004" / name
            damaged.unlink() if content is None else damaged.write_bytes(content)
            saved = newest_good_save(copy)
            assert saved is not None, (name, number)
            assert saved.step == 2, (name, number)
            assert (copy / "step-000004.damaged").exists()


def test_nothing_of_a_sharded_save_is_a_pickle(written_by_two: Path) -> None:
    for path in (written_by_two / "checkpoints" / "step-000004").iterdir():
        assert path.suffix in (".safetensors", ".json"), path
        assert path.suffix == ".json" or path.read_bytes()[8:9] == b"{", path


def test_a_sharded_save_reads_whole_without_any_group(written_by_two: Path) -> None:
    saved = newest_good_save(written_by_two / "checkpoints")
    assert saved is not None
    assert saved.is_sharded
    state = saved.state()
    final = final_weights(written_by_two)
    for name, value in state.model.items():
        assert torch.equal(value, final[name]), name
    assert {key.split("/")[1] for key in state.optimizer} == {"step", "exp_avg", "exp_avg_sq"}
    assert [path.name for path in saved_folders(written_by_two / "checkpoints")] == [
        "step-000004",
        "step-000002",
    ]


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("when", ["before its parts are written", "after its parts are written"])
def test_a_process_killed_while_saving_leaves_the_save_before(
    single: Path, tmp_path: Path, when: str
) -> None:
    folder = tmp_path / "killed"
    folder.mkdir()

    def work(rank: int) -> None:
        from towpath.train.parallel import sharded

        torch.set_num_threads(1)
        write = sharded.write_shards

        def deadly(partial: Path, tensors: Mapping[str, torch.Tensor]) -> None:
            dies = rank == 1 and partial.name.startswith("step-000004")
            if dies and when.startswith("before"):
                os.kill(os.getpid(), signal.SIGKILL)
            write(partial, tensors)
            if dies:
                os.kill(os.getpid(), signal.SIGKILL)

        sharded.write_shards = deadly
        run_stage(stage(folder, CONFIG), model("gpt2", 0.0))

    first, second = ended(start(work, 2))
    assert second == -signal.SIGKILL
    assert first != 0
    saved = newest_good_save(folder / "checkpoints")
    assert saved is not None
    assert saved.step == 2
    assert train(folder, CONFIG, 2) == [0, 0]
    assert_equal_runs(single, folder)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
@pytest.mark.parametrize("mode", ["ddp", "fsdp"])
def test_a_full_disk_leaves_the_save_before_and_is_said_by_every_process(
    single: Path, written_by_two: Path, tmp_path: Path, mode: str, capfd: pytest.CaptureFixture[str]
) -> None:
    config = change(CONFIG, {"parallel": {"type": mode}})
    one_save = written_by_two / "checkpoints" / "step-000002"
    kilobytes = sum(path.stat().st_size for path in one_save.iterdir()) * 3 // 2 // 1024
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", disk], check=True)
    try:
        assert train(disk / "run", config, 2) == [1, 1]
        needed = 3 * 4 * model("gpt2").num_parameters()  # weights and AdamW's two moments
        said = re.search(
            r"checkpoints: no space left .* step-000004, which takes ([\d,]+) bytes; [\d,]+ are free",
            capfd.readouterr().err,
        )
        assert said is not None
        assert needed <= int(said[1].replace(",", "")) < needed + 1000
        saved = newest_good_save(disk / "run" / "checkpoints")
        assert saved is not None
        assert saved.step == 2
        assert not list((disk / "run" / "checkpoints").glob("*.partial"))
        subprocess.run(["mount", "-o", "remount,size=16m", disk], check=True)
        assert train(disk / "run", config, 2) == [0, 0]
        assert_equal_runs(single, disk / "run")
    finally:
        subprocess.run(["umount", disk], check=True)
