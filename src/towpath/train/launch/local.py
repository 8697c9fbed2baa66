"""A job of several processes on this machine: started, watched, ended together, started again.

A process that is killed, or ends because its heartbeat lost another, makes the whole job start
again from its last save; any other failure ends it, since it would only come again.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

LOST = 75
"""What a process exits with that lost another; see ``towpath.train.parallel.heartbeat``."""
GRACE_SECONDS = 3.0
"""What the others are given to say why they end, once one has ended."""
STOP_SECONDS = 60.0
"""What all are given to save after a signal that asks to stop, before they are killed."""
_LOOK_SECONDS = 0.1
_FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Ended:
    """How a job ended: the rank that ended first and not well, and its status (minus the signal)."""

    rank: int
    status: int

    @property
    def is_worth_another_try(self) -> bool:
        """Whether it was lost and did not fail."""
        return self.status == LOST or self.status < 0

    @property
    def exit_code(self) -> int:
        """As a shell gives it."""
        return 128 - self.status if self.status < 0 else self.status

    def __str__(self) -> str:
        if self.status < 0:
            return (
                f"rank {self.rank} was killed by signal {-self.status} ({signal.Signals(-self.status).name})"
            )
        return f"rank {self.rank} ended with status {self.status}"


def supervise(command: Sequence[str], processes: int, max_restarts: int = 3) -> int:
    """Run ``command`` in ``processes`` processes until all are done. Returns the exit status."""
    with _signals() as asked:
        restarts = 0
        while (ended := _Job(command, processes).run(asked)) is not None:
            print(f"launch: {ended}.", file=sys.stderr)
            if asked() or not ended.is_worth_another_try:
                return ended.exit_code
            if restarts == max_restarts:
                print(
                    f"launch: given up after {restarts} new starts; the last save is good.", file=sys.stderr
                )
                return ended.exit_code
            restarts += 1
            print(f"launch: starting again, {restarts} of {max_restarts} times.", file=sys.stderr)
        return 0


class _Job:
    def __init__(self, command: Sequence[str], processes: int) -> None:
        port = free_port()
        self.workers = [
            subprocess.Popen(
                command, env=os.environ | place(rank, processes, port), preexec_fn=_die_with_parent
            )
            for rank in range(processes)
        ]

    def run(self, asked: Callable[[], int | None]) -> Ended | None:
        """Until all are done; None when all did well."""
        ended = self._watch(asked)
        if ended is not None:
            self._end()
        return ended

    def _watch(self, asked: Callable[[], int | None]) -> Ended | None:
        told: int | None = None
        until = float("inf")
        while True:
            if (number := asked()) is not None and told is None:
                told, until = number, time.monotonic() + STOP_SECONDS
                self._send(number)
            statuses = [worker.poll() for worker in self.workers]
            failed = [Ended(rank, status) for rank, status in enumerate(statuses) if status]
            if failed:  # of several at once, the one that failed by itself
                return min(failed, key=lambda one: one.is_worth_another_try)
            if all(status == 0 for status in statuses):
                return None
            if time.monotonic() > until:
                return Ended(statuses.index(None), -signal.SIGKILL)
            time.sleep(_LOOK_SECONDS)

    def _end(self) -> None:
        until = time.monotonic() + GRACE_SECONDS
        while time.monotonic() < until and any(worker.poll() is None for worker in self.workers):
            time.sleep(_LOOK_SECONDS)
        self._send(signal.SIGKILL)  # ends a stopped process too
        for worker in self.workers:
            worker.wait()

    def _send(self, number: int) -> None:
        for worker in self.workers:
            if worker.poll() is None:
                worker.send_signal(number)


def place(rank: int, processes: int, port: int, address: str = "127.0.0.1") -> Mapping[str, str]:
    """The variables that say to a process which of ``processes`` it is; all on this machine."""
    return {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(processes),
        "LOCAL_WORLD_SIZE": str(processes),
        "MASTER_ADDR": address,
        "MASTER_PORT": str(port),
    }


def free_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


@contextmanager
def _signals() -> Iterator[Callable[[], int | None]]:
    """Which signal asked the job to stop, if one did."""
    received: list[int] = []

    def receive(number: int, frame: FrameType | None) -> None:
        received.append(number)

    before = {number: signal.signal(number, receive) for number in _FORWARDED}
    try:
        yield lambda: received[0] if received else None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _die_with_parent() -> None:
    """So that no process trains on when its supervisor is killed (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
