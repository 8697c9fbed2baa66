"""trackio: figures in a local database, shown by ``trackio show``, or on a Space of the Hugging Face hub."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Literal

from towpath.core.errors import need
from towpath.train.trackers import TrackedRun, Tracker, TrackerConfig


class TrackioConfig(TrackerConfig):
    """A run of trackio."""

    type: Literal["trackio"] = "trackio"
    project: str = "towpath"
    """The project that the run belongs to."""
    space_id: str | None = None
    """A Space that gets the figures; unset: they stay on this machine."""

    def load(self) -> None:
        """See ``TrackerConfig.load``. Without TRACKIO_DIR it keeps its database where it keeps all."""
        os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
        need("trackio", install="towpath[trackio]", why="train.trackers (trackio)")

    def open(self, run: TrackedRun) -> Tracker:
        """See ``TrackerConfig.open``."""
        import trackio

        return _Run(
            trackio.init(
                project=self.project,
                name=run.id,
                resume="allow",
                space_id=self.space_id,
                config=dict(run.settings),
                embed=False,
                auto_log_gpu=False,
                auto_log_cpu=False,
            )
        )


class _Run:
    def __init__(self, run: Any) -> None:
        self.run = run

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        self.run.log(dict(metrics), step=step)

    def close(self) -> None:
        import trackio

        trackio.finish()
