"""Another file of figures, one line of JSON a step: ``{"step": 500, "train/loss": 3.21, …}``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from towpath.train.trackers import TrackedRun, Tracker, TrackerConfig


class JsonlConfig(TrackerConfig):
    """A file of lines, for example on a disk that others can read."""

    type: Literal["jsonl"] = "jsonl"
    path: str | None = None
    """The file; unset: ``figures.jsonl`` in the stage's folder of trackers."""

    def open(self, run: TrackedRun) -> Tracker:
        """See ``TrackerConfig.open``."""
        return _Lines(Path(self.path) if self.path else run.folder / "figures.jsonl", run.name)


class _Lines:
    def __init__(self, path: Path, run: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.file = path.open("a")
        self.run = run

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        self.file.write(json.dumps({"run": self.run, "step": step, **metrics}) + "\n")
        self.file.flush()

    def close(self) -> None:
        self.file.close()
