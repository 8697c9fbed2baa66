"""A process that dies or stops is named, the job ends, starts again, and ends as if undisturbed."""

from __future__ import annotations

import importlib
import os
import re
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.train import lost_rank_job, network
from tests.train.conftest import assert_same
from tests.train.ranks import Forked, ended, final_weights, start
from towpath.train.launch.local import supervise
from towpath.train.parallel.ddp import DDPConfig
from towpath.train.parallel.heartbeat import LOST, Heartbeat

SLACK_SECONDS = 10
"""Starting, and a machine with other work."""


def disturbed(folder: Path, number: int) -> list[int]:
    """A job of two of which the second gets signal ``number`` in step 6; their exit statuses."""
    folder.mkdir()

    def work(rank: int) -> None:
        sys.stderr = (folder / f"stderr-{rank}").open("w")
        lost_rank_job.run(folder, "ddp", lost_rank_job.signalled(number))

    children = start(work, 2)
    first = os.waitstatus_to_exitcode(os.waitpid(children[0], 0)[1])
    os.kill(children[1], signal.SIGKILL)
    return [first, *ended(children[1:])]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_lost_process_is_named_with_host_step_and_stack(tmp_path: Path, number: signal.Signals) -> None:
    begun = time.monotonic()
    assert disturbed(tmp_path / "job", number)[0] == LOST
    seconds = time.monotonic() - begun
    said = (tmp_path / "job" / "stderr-0").read_text()
    assert "rank 0 ends the job" in said
    assert f"rank 1 (host {os.uname().nodename}" in said
    assert re.search("last seen at step [1-6];", said)
    assert ".py:" in said
    assert "goes on from its last save" in said
    assert seconds < lost_rank_job.SECONDS + SLACK_SECONDS


def test_the_default_is_75_seconds_and_the_verdict_comes_before_they_are_over() -> None:
    seconds = DDPConfig().lost_rank_seconds
    assert seconds == 75
    beat = Heartbeat.__new__(Heartbeat)
    beat.interval = seconds / 15
    # told at the last moment, read one interval later, judged half an interval late
    assert (seconds - 2 * beat.interval) + 1.5 * beat.interval < seconds


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize(("mode", "number"), [("ddp", signal.SIGKILL), ("fsdp", signal.SIGSTOP)])
def test_the_job_starts_again_and_ends_with_the_weights_of_the_undisturbed_run(
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    mode: str,
    number: signal.Signals,
) -> None:
    def work(folder: str, harm: Callable[[], object] | None) -> Callable[[], None]:
        return lambda: lost_rank_job.run(tmp_path / folder, mode, harm)

    importlib.import_module("towpath.train.parallel.sharded")  # once, not in every process
    monkeypatch.setattr("towpath.train.launch.local.subprocess", SimpleNamespace(Popen=Forked))
    assert supervise(work("whole", None), 2) == 0  # pyright: ignore[reportArgumentType]
    assert supervise(work("lost", lost_rank_job.signalled(number)), 2) == 0  # pyright: ignore[reportArgumentType]
    said = capfd.readouterr().err
    assert "starting again, 1 of 3" in said
    assert "going on at step 4" in said
    assert_same(final_weights(tmp_path / "whole"), final_weights(tmp_path / "lost"))


@pytest.mark.slow
@pytest.mark.skipif(network.missing() is not None, reason=str(network.missing()))
def test_a_process_that_is_cut_off_is_named_and_the_job_ends_as_if_it_had_not_been(tmp_path: Path) -> None:
    """Two machines joined by a cable, which is pulled in step 6: no connection breaks, nothing is said."""

    def job(folder: Path, cable: network.Cable, *, cut: bool) -> list[int]:
        folder.mkdir(exist_ok=True)

        def work(rank: int) -> None:
            sys.stderr = (folder / f"stderr-{rank}").open("w")
            cable.enter(rank)
            lost_rank_job.run(folder, "ddp", cable.pull if cut else None)

        return ended(start(work, 2, **cable.variables))

    with network.cable() as cable:
        assert job(tmp_path / "whole", cable, cut=False) == [0, 0]
        begun = time.monotonic()
        assert job(tmp_path / "cut", cable, cut=True) == [LOST, LOST]
        assert time.monotonic() - begun < lost_rank_job.SECONDS + SLACK_SECONDS
        first, second = ((tmp_path / "cut" / f"stderr-{rank}").read_text() for rank in (0, 1))
        assert "rank 0 ends the job. No sign of life" in first
        assert f"lost is rank 1 (host {os.uname().nodename}" in first
        # The store is on rank 0's side of the cable: its silence, or rank 0's, is what is seen first.
        assert "rank 1 ends the job." in second
        assert "lost is rank 0" in second
        cable.mend()
        assert job(tmp_path / "cut", cable, cut=False) == [0, 0]
    assert "going on at step 4" in (tmp_path / "cut" / "stderr-0").read_text()
    assert_same(final_weights(tmp_path / "whole"), final_weights(tmp_path / "cut"))
