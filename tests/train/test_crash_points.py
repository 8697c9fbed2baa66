"""Every system call of one save is a place to die: whatever the place, the run ends with the same weights.

Random kills almost never hit the millisecond in which a save can be torn, so each point is hit on
purpose: strace is attached to a forked child and kills it at the N-th call of each kind that
changes the disk. The parent then goes on training from what is left.
"""

from __future__ import annotations

import gc
import os
import re
import shutil
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest
import torch

from tests.train.conftest import assert_same, model, stage, train_config, weights
from towpath.core.errors import DiskFullError
from towpath.train.saves import newest_good_state, saved_folders
from towpath.train.stage import run_stage

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed"),
]

CHANGES = (
    *("openat", "creat", "write", "pwrite64", "writev", "pwritev", "ftruncate", "fallocate"),
    *("fsync", "fdatasync", "msync", "rename", "renameat", "renameat2"),
    *("unlink", "unlinkat", "mkdir", "mkdirat", "rmdir"),
)
EXPLAINED = 28
"""What the child exits with after a ``DiskFullError``."""
CONFIG = train_config(max_steps=8, save_steps=4, keep_checkpoints=1, eval_steps=100)


def in_a_child(folder: Path, *strace: str) -> int:
    """Train on in ``folder`` in a forked child under strace. Returns its wait status."""
    ready, go = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        try:
            _let_anyone_trace_me()
            os.write(ready[1], b".")
            os.read(go[0], 1)
            run_stage(stage(folder, CONFIG), model())
        except DiskFullError:
            os._exit(EXPLAINED)
        except BaseException:
            os._exit(1)
        os._exit(0)
    os.read(ready[0], 1)
    tracer = subprocess.Popen(
        ["strace", "-f", "-p", str(child), *strace],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    assert tracer.stderr is not None
    line = tracer.stderr.readline()
    assert "attached" in line, line
    os.write(go[1], b".")
    _, status = os.waitpid(child, 0)
    tracer.stderr.read()
    tracer.wait(timeout=30)
    for end in (*ready, *go):
        os.close(end)
    return status


def _let_anyone_trace_me() -> None:
    import ctypes

    ctypes.CDLL(None).prctl(0x59616D61, ctypes.c_ulong(-1).value, 0, 0, 0)  # PR_SET_PTRACER, any


@pytest.fixture(scope="module")
def halfway(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stage's folder with the save of step 4 in it; steps 5 to 8 and their save are to come."""
    folder = tmp_path_factory.mktemp("halfway")
    torch.set_num_threads(1)
    one = stage(folder, CONFIG)

    class Stop(BaseException):
        pass

    source = one.batches

    class UntilFour:
        def batch(self, step: int):
            if step == 4:
                raise Stop
            return source.batch(step)

        describe = source.describe

    one.batches = UntilFour()
    with pytest.raises(Stop):
        run_stage(one, model())
    assert [path.name for path in saved_folders(folder / "checkpoints")] == ["step-000004"]
    return folder


@pytest.fixture(scope="module")
def expected(halfway: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, torch.Tensor]:
    """The final weights of the run that was never killed."""
    whole = model()
    run_stage(stage(tmp_path_factory.mktemp("whole"), CONFIG), whole)
    return weights(whole)


def crash_points(halfway: Path, folder: Path) -> Counter[str]:
    """How often each call that changes the disk is made while the second half runs.

    Only the main thread writes; the others read what is hashed, and strace counts each by itself.
    """
    shutil.copytree(halfway, folder, dirs_exist_ok=True)
    log = folder.parent / "calls"
    status = in_a_child(folder, "-o", str(log), "-e", f"trace={','.join(CHANGES)}")
    assert status == 0
    calls = re.findall(r"^(\d+) +([a-z0-9]+)\(", log.read_text(), re.MULTILINE)
    return Counter(call for thread, call in calls if thread == calls[0][0])


def test_killed_at_every_system_call_of_a_save(
    halfway: Path, expected: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    points = crash_points(halfway, tmp_path / "counted")
    assert points["fsync"] >= 6
    assert points["rename"] + points["renameat"] + points["renameat2"] >= 2
    left: Counter[str] = Counter()
    start = time.monotonic()
    for call, count in points.items():
        for number in range(1, count + 1):
            folder = tmp_path / f"{call}-{number}"
            shutil.copytree(halfway, folder)
            status = in_a_child(
                folder, "-o", "/dev/null", "-e", f"inject={call}:signal=SIGKILL:when={number}"
            )
            assert os.WIFSIGNALED(status), (call, number, status)
            assert os.WTERMSIG(status) == signal.SIGKILL
            state = newest_good_state(folder / "checkpoints")
            assert state is not None, (call, number)
            left[f"step {state.step}"] += 1
            resumed = model()
            run_stage(stage(folder, CONFIG), resumed)
            assert_same(expected, weights(resumed))
            shutil.rmtree(folder)
    seconds = time.monotonic() - start
    print(f"\n{sum(points.values())} crash points {dict(points)}, {seconds:.0f} s, left {dict(left)}")
    assert set(left) == {"step 4", "step 8"}


def test_a_full_disk_at_any_flush_leaves_the_last_good_checkpoint(
    halfway: Path, expected: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    count = crash_points(halfway, tmp_path / "counted")["fsync"]
    for number in range(1, count + 1):
        folder = tmp_path / f"fsync-{number}"
        shutil.copytree(halfway, folder)
        status = in_a_child(folder, "-o", "/dev/null", "-e", f"inject=fsync:error=ENOSPC:when={number}+")
        assert os.waitstatus_to_exitcode(status) == EXPLAINED, number
        assert newest_good_state(folder / "checkpoints") is not None, number
        resumed = model()
        run_stage(stage(folder, CONFIG), resumed)
        assert_same(expected, weights(resumed))
        shutil.rmtree(folder)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_a_disk_of_any_size_leaves_the_last_good_checkpoint(
    halfway: Path, expected: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    codes: Counter[int] = Counter()
    for kilobytes in range(40, 1000, 60):
        size = sum(path.stat().st_size for path in halfway.rglob("*")) // 1024 + kilobytes
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}k", "tmpfs", disk], check=True)
        try:
            shutil.copytree(halfway, disk / "run")
            codes[
                os.waitstatus_to_exitcode(in_a_child(disk / "run", "-o", "/dev/null", "-e", "trace=none"))
            ] += 1
            assert newest_good_state(disk / "run" / "checkpoints") is not None, kilobytes
            subprocess.run(["mount", "-o", "remount,size=8m", disk], check=True)
            resumed = model()
            run_stage(stage(disk / "run", CONFIG), resumed)
            assert_same(expected, weights(resumed))
        finally:
            gc.collect()  # nothing of what was read from the disk is in use any more
            subprocess.run(["umount", "--lazy", disk], check=True)
    assert set(codes) == {0, EXPLAINED}
