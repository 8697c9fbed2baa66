"""TensorBoard: event files, written by the package ``tensorboard`` itself, without torch."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from towpath.core.errors import need
from towpath.train.trackers import TrackedRun, Tracker, TrackerConfig


class TensorBoardConfig(TrackerConfig):
    """Event files for ``tensorboard --logdir``."""

    type: Literal["tensorboard"] = "tensorboard"
    folder: str | None = None
    """Where the event files go; unset: ``tensorboard`` in the stage's folder of trackers."""

    def load(self) -> None:
        """See ``TrackerConfig.load``."""
        need(
            "tensorboard.summary.writer.event_file_writer",
            install="towpath[tensorboard]",
            why="train.trackers (tensorboard)",
        )

    def open(self, run: TrackedRun) -> Tracker:
        """See ``TrackerConfig.open``."""
        return _Events(Path(self.folder) if self.folder else run.folder / "tensorboard")


class _Events:
    def __init__(self, folder: Path) -> None:
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        self.writer = EventFileWriter(str(folder))

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        from tensorboard.compat.proto.event_pb2 import Event  # pyright: ignore[reportAttributeAccessIssue]
        from tensorboard.compat.proto.summary_pb2 import Summary  # pyright: ignore[reportAttributeAccessIssue]

        values = [Summary.Value(tag=name, simple_value=value) for name, value in metrics.items()]
        self.writer.add_event(Event(wall_time=time.time(), step=step, summary=Summary(value=values)))
        self.writer.flush()

    def close(self) -> None:
        self.writer.close()
