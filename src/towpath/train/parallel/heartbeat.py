"""Heartbeat: a process of a job that dies, stops or is cut off is named, and the job ends.

Every process tells its step, host and stack to the job's key-value store (torch's TCPStore, which
the launcher or the first process keeps) from a thread of its own, and looks at what the others
told. A second thread judges and never waits for the network: so a collective that hangs, or a store
that no longer answers, can't keep the verdict back. Times are this process's own, so clocks need
not agree; time in which this process itself was stopped counts for nobody.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import time
import traceback
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from torch.distributed import PrefixStore, Store, TCPStore  # pyright: ignore[reportPrivateImportUsage]

from towpath.core.errors import TrainError

LOST = 75
"""Exit status of a process that ends because another is lost: EX_TEMPFAIL, worth another try."""
BEATS_A_LIMIT = 15
"""A beat is sent this often within ``lost_rank_seconds``: 5 s of 75."""
ALL_WATCH_ALL = 64
"""In a larger job the first process watches all and the others watch the first."""
_STACK_LINES = 4


class LostRankError(TrainError):
    """Another process of the job died or went silent. Starting the job again goes on from its last save."""

    exit_code = LOST


@dataclass
class _Sign:
    """The newest that is known of one process."""

    beat: dict[str, Any] = field(default_factory=dict)
    seen: float = field(default_factory=time.monotonic)

    def told(self, beat: dict[str, Any]) -> None:
        if beat != self.beat:
            self.beat, self.seen = beat, time.monotonic()

    def describe(self, rank: int) -> str:
        if not self.beat:
            return f"rank {rank}, which never showed a sign of life"
        stack = "\n    ".join(self.beat["stack"])
        return (
            f"rank {rank} (host {self.beat['host']}, process {self.beat['process']}), last seen at step "
            f"{self.beat['step']}; its stack then:\n    {stack}"
        )


class Heartbeat:
    """Shows that this process lives, and watches the others, until ``stop``."""

    def __init__(self, rank: int, size: int, seconds: float) -> None:
        """``seconds``: within this time after its last sign a lost process is named."""
        self.rank, self.size, self.seconds = rank, size, seconds
        self.step = 0
        self.interval = seconds / BEATS_A_LIMIT
        self.silence = seconds - 2 * self.interval
        """A sign is read one interval late at most, and judged half an interval after that."""
        watched = range(size) if rank == 0 or size <= ALL_WATCH_ALL else (0,)
        self.signs = {other: _Sign() for other in watched if other != rank}
        self._answered = time.monotonic()
        self._broken: str | None = None
        self._stopped = threading.Event()
        self._main = threading.main_thread().ident
        self._count = 0
        self._store = self._connected()

    def start(self) -> None:
        """Send the first sign, then go on in the background."""
        self._beat()
        for work in (self._talk, self._judge):
            threading.Thread(target=work, daemon=True, name=f"heartbeat{work.__name__}").start()

    def stop(self) -> None:
        """Show no more signs and judge nobody."""
        self._stopped.set()

    def gone(self, patience_seconds: float = 2.0) -> str | None:
        """Which processes of this machine no longer exist; waits a moment for one to be."""
        until = time.monotonic() + patience_seconds
        while time.monotonic() < until:
            dead = [
                sign.describe(rank)
                for rank, sign in self.signs.items()
                if sign.beat.get("host") == socket.gethostname() and not _exists(sign.beat["process"])
            ]
            if dead:
                return "; ".join(dead)
            time.sleep(0.05)
        return None

    def _connected(self) -> Store:
        host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
        store = TCPStore(host, port, None, False, timedelta(seconds=self.seconds))
        return PrefixStore(f"heartbeat/{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", store)

    def _talk(self) -> None:
        while not self._stopped.wait(self.interval):
            try:
                self._beat()
                self._look()
            except Exception as error:  # what it means is judged, not handled
                self._broken = str(error).partition("\n")[0]
                return

    def _beat(self) -> None:
        self._count += 1
        frame = sys._current_frames().get(self._main or 0)
        stack = [f"{item.filename}:{item.lineno} {item.name}" for item in traceback.extract_stack(frame)]
        beat = {
            "count": self._count,
            "step": self.step,
            "host": socket.gethostname(),
            "process": os.getpid(),
            "stack": stack[-_STACK_LINES:],
        }
        self._store.set(str(self.rank), json.dumps(beat))

    def _look(self) -> None:
        if self._store.check(["lost"]) and not self._stopped.is_set():
            self._end(self._store.get("lost").decode())
        for rank, sign in self.signs.items():
            if self._store.check([str(rank)]):
                sign.told(json.loads(self._store.get(str(rank))))
        self._answered = time.monotonic()

    def _judge(self) -> None:
        before = time.monotonic()
        while not self._stopped.wait(self.interval / 2):
            now = time.monotonic()
            own_pause = now - before - self.interval / 2
            if own_pause > self.interval:
                self._forgive(own_pause)
            before = now
            verdict = self._verdict(now)
            if verdict and not self._stopped.is_set():
                self._announce(verdict)

    def _forgive(self, seconds: float) -> None:
        self._answered += seconds
        for sign in self.signs.values():
            sign.seen += seconds

    def _verdict(self, now: float) -> str | None:
        silent = [rank for rank, sign in self.signs.items() if now - sign.seen > self.silence]
        if self._broken or now - self._answered > self.silence:
            reason = self._broken or f"no answer for {now - self._answered:.0f} s"
            first = self.signs[0].describe(0) if 0 in self.signs else ""
            where = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
            return (
                f"Rank {self.rank}: the job's store at {where} can't be reached ({reason}): lost is {first}"
            )
        if silent:
            named = "; ".join(self.signs[rank].describe(rank) for rank in silent)
            return f"No sign of life for {self.silence:.0f} s: lost is {named}"
        return None

    def _announce(self, verdict: str) -> None:
        if self._broken is None:
            threading.Thread(target=self._store.set, args=("lost", verdict), daemon=True).start()
        print(_said(self.rank, verdict), file=sys.stderr, flush=True)
        time.sleep(1.5 * self.interval)  # so that all read it before a store that this process keeps is gone
        os._exit(LOST)

    def _end(self, verdict: str) -> None:
        print(_said(self.rank, verdict), file=sys.stderr, flush=True)
        os._exit(LOST)


def _said(rank: int, verdict: str) -> str:
    return f"train: rank {rank} ends the job. {verdict}\nStart it again: it goes on from its last save."


def _exists(process: int) -> bool:
    """Whether ``process`` is there and more than a dead child that nobody asked after."""
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"
