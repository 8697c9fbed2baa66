"""The trackers of a stage as processes beside training: started, watched, ended; never waited for.

A tracker that can't be imported, is not ready in its time, dies or is still busy at the end is given up
with one line on standard error; ``log.jsonl`` has every figure. Training itself does nothing for a
tracker: it is read from the log (``follow``).
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from towpath.core.files import readable_json, write_durably
from towpath.train.trackers import TrackerConfig

LOAD_SECONDS = 120.0
"""What the import of a package may take; nobody waits for it."""
HURRIED_SECONDS = 2.0
"""What a tracker gets at the end of a stage that was stopped or failed."""


class Followers:
    """One process for each of ``sections``, while inside ``with``. ``folder`` holds ``log.jsonl``."""

    def __init__(self, folder: Path, sections: Sequence[TrackerConfig], settings: Mapping[str, Any]) -> None:
        self.folder = folder / "trackers"
        self.log = folder / "log.jsonl"
        self.name = f"{folder.parent.name}/{folder.name}"
        self.sections = sections
        self.settings = settings
        self.followers: list[_Follower] = []

    def __enter__(self) -> Followers:
        """Start them all; takes milliseconds."""
        if self.sections:
            self.folder.mkdir(parents=True, exist_ok=True)
        for number, section in enumerate(self.sections):
            order = {
                "section": f"{type(section).__module__}:{type(section).__qualname__}",
                "settings": section.model_dump(mode="json"),
                "state": str(self.folder / f"{number}-{section.type}.json"),
                "id": self._run_id(),
                "name": self.name,
                "log": str(self.log),
                "train": self.settings,
            }
            self.followers.append(_Follower(section, order))
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        """Let them send what is left, all at the same time."""
        for follower in self.followers:
            follower.ask_to_end()
        start = time.monotonic()
        for follower in self.followers:
            limit = follower.section.close_seconds if kind is None else HURRIED_SECONDS
            follower.end(start + limit)

    def _run_id(self) -> str:
        """One id for all starts of the stage."""
        path = self.folder / "run.json"
        if not path.exists():
            name = "".join(letter if letter.isalnum() or letter == "-" else "-" for letter in self.name)
            write_durably(path, readable_json({"id": f"{name[-60:]}-{uuid.uuid4().hex[:8]}"}))
        return json.loads(path.read_bytes())["id"]


class _Follower:
    """One tracker's process, and the thread that hears its answers."""

    def __init__(self, section: TrackerConfig, order: Mapping[str, Any]) -> None:
        self.section = section
        self.closed = False
        self.given_up = False
        self.lock = threading.Lock()
        with Path(order["state"]).with_suffix(".txt").open("ab") as said:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "towpath.train.trackers.follow", json.dumps(order)],
                bufsize=0,  # select must see what readline has not read
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=said,
                start_new_session=True,  # Ctrl+C is for training, which then ends it
                env={**os.environ, "OMP_NUM_THREADS": "1"},
            )
        self.thread = threading.Thread(target=self._hear, daemon=True)
        self.thread.start()

    def ask_to_end(self) -> None:
        """Send what is left, then close."""
        assert self.process.stdin is not None
        with suppress(OSError):  # it is gone, and that was said
            self.process.stdin.write(b"end\n")

    def end(self, deadline: float) -> None:
        """Wait until ``deadline`` on the monotonic clock, no longer."""
        self.thread.join(max(0.0, deadline - time.monotonic()))
        if not self.closed:
            self._give_up("it was not done at the end of the stage; the next start sends the rest")
        self.process.wait()
        self.thread.join(1.0)  # it reads the end of what the process said; then no one reads what is closed
        for end in (self.process.stdin, self.process.stdout):
            assert end is not None
            with suppress(OSError):
                end.close()

    def _hear(self) -> None:
        for expected, seconds in (("loaded", LOAD_SECONDS), ("ready", self.section.init_seconds)):
            answer = self._answer(seconds)
            if answer != expected:
                waited = f"it was not {expected} after {seconds:g} s"
                self._give_up((answer or waited).removeprefix("failed: "))
                return
        answer = self._answer(None)
        self.closed = answer == "closed"
        if not self.closed:
            self._give_up((answer or "its process died").removeprefix("failed: "))

    def _answer(self, seconds: float | None) -> str:
        """Its next line; nothing where it is gone or ``seconds`` are over."""
        assert self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], seconds)
        return self.process.stdout.readline().decode().strip() if ready else ""

    def _give_up(self, why: str) -> None:
        with self.lock:
            if self.given_up:
                return
            self.given_up = True
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        print(
            f"train: the tracker {self.section.type} gets no more figures: {why}. "
            "Training goes on; log.jsonl has them all.",
            file=sys.stderr,
            flush=True,
        )
