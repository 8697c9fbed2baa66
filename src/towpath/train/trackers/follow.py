"""The process that one tracker lives in: it reads ``log.jsonl`` and tells the tracker what is new.

    python -m towpath.train.trackers.follow '{"section": "module:Class", "settings": {…}, …}'

The log is the queue: whatever the tracker does, nothing is held in memory and nothing is lost, and the
next start sends what this one did not. ``<state>`` remembers, by name of figure, the last step that was
sent; it is written before the figure goes out, so that a kill may cost the tracker one row and never
doubles one. Standard output says ``loaded``, ``ready``, ``closed`` or ``failed: why``, a line each; the
line ``end`` on standard input asks to send the rest and close; the end of standard input means that
training is gone, and ends this process at once.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

from towpath.train.trackers import TrackedRun, Tracker, TrackerConfig

POLL_SECONDS = 0.5


class Sent:
    """What was told to the tracker already, and what it wants remembered."""

    def __init__(self, path: Path) -> None:
        self.path = path
        known: dict[str, Any] = json.loads(path.read_bytes()) if path.exists() else {}
        self.steps: dict[str, int] = known.get("steps", {})
        self.remembered: dict[str, str] = known.get("remembered", {})

    def new_of(self, step: int, metrics: Mapping[str, float]) -> dict[str, float]:
        """The figures of ``step`` that were not sent."""
        return {name: value for name, value in metrics.items() if step > self.steps.get(name, -1)}

    def mark(self, step: int, metrics: Mapping[str, float]) -> None:
        """Take ``metrics`` for sent."""
        self.steps |= dict.fromkeys(metrics, step)
        self.write()

    def write(self) -> None:
        """Replace the file; a kill leaves the old or the new one."""
        partial = self.path.with_name(f"{self.path.name}.partial")
        partial.write_text(json.dumps({"steps": self.steps, "remembered": self.remembered}))
        partial.replace(self.path)


class Tail:
    """New rows of a log that grows, and that is replaced by a shorter one when its run goes back."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.place = 0
        self.file_number: int | None = None

    def steps(self) -> Iterator[tuple[int, dict[str, float]]]:
        """The rows since the last call, those of one step together."""
        step: int | None = None
        metrics: dict[str, float] = {}
        for row in self._rows():
            if step is not None and row["step"] != step:
                yield step, metrics
                metrics = {}
            step = row["step"]
            metrics[row["name"]] = row["value"]
        if step is not None:
            yield step, metrics

    def _rows(self) -> Iterator[dict[str, Any]]:
        try:
            file = self.path.open("rb")
        except FileNotFoundError:
            return
        with file:
            found = os.fstat(file.fileno())
            if found.st_ino != self.file_number or found.st_size < self.place:
                self.file_number, self.place = found.st_ino, 0
            file.seek(self.place)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                self.place += len(line)
                yield json.loads(line)


def follow(tracker: Tracker, tail: Tail, sent: Sent, ended: threading.Event) -> None:
    """Tell ``tracker`` all that is new until ``ended`` is set and nothing is left."""
    while True:
        last = ended.is_set()  # asked before reading: what was written before the end is then read
        for step, metrics in tail.steps():
            if new := sent.new_of(step, metrics):
                sent.mark(step, new)
                tracker.log(step, new)
        if last:
            return
        ended.wait(POLL_SECONDS)


def main() -> None:
    """Do what the first argument describes."""
    order = json.loads(sys.argv[1])
    os.nice(10)  # training goes first
    answers, orders = os.fdopen(os.dup(1), "w"), os.fdopen(os.dup(0))
    os.dup2(2, 1)  # what a package prints is no answer
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)  # what a package asks gets none

    def answer(text: str) -> None:
        answers.write(text.replace("\n", " ") + "\n")
        answers.flush()

    ended = threading.Event()
    threading.Thread(target=_listen, args=(orders, ended), daemon=True).start()
    try:
        _work(order, ended, answer)
    except BaseException as error:
        answer(f"failed: {type(error).__name__}: {str(error)[:300]}")
    os._exit(0)  # past whatever a package wants to do at the end: it had its time


def _work(order: Mapping[str, Any], ended: threading.Event, answer: Any) -> None:
    module, _, name = order["section"].partition(":")
    section: TrackerConfig = getattr(importlib.import_module(module), name).model_validate(order["settings"])
    section.load()
    answer("loaded")
    sent = Sent(Path(order["state"]))
    folder = Path(order["state"]).parent
    run = TrackedRun(order["id"], order["name"], folder, order["train"], sent.remembered)
    tracker = section.open(run)
    sent.write()
    answer("ready")
    follow(tracker, Tail(Path(order["log"])), sent, ended)
    tracker.close()
    answer("closed")


def _listen(orders: TextIO, ended: threading.Event) -> None:
    for line in orders:
        if line.strip() == "end":
            ended.set()
    if not ended.is_set():
        os._exit(0)


if __name__ == "__main__":
    main()
