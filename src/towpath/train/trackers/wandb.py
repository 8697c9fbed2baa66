"""Weights & Biases, online or offline. The key is WANDB_API_KEY or that of ``wandb login``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from towpath.core.errors import need
from towpath.train.trackers import TrackedRun, Tracker, TrackerConfig


class WandbConfig(TrackerConfig):
    """A run of Weights & Biases."""

    type: Literal["wandb"] = "wandb"
    project: str = "towpath"
    """The project that the run belongs to."""
    entity: str | None = None
    """User or team; unset: the key's own."""
    mode: Literal["online", "offline"] = "online"
    """offline writes files that ``wandb sync`` sends later."""

    def load(self) -> None:
        """See ``TrackerConfig.load``."""
        need("wandb", install="towpath[wandb]", why="train.trackers (wandb)")

    def open(self, run: TrackedRun) -> Tracker:
        """See ``TrackerConfig.open``: one id for all starts, so a resumed run goes on in the same one."""
        import wandb

        settings = wandb.Settings(silent=True, console="off", init_timeout=self.init_seconds)
        return _Run(
            wandb.init(
                project=self.project,
                entity=self.entity,
                mode=self.mode,
                id=run.id,
                name=run.name,
                resume=None if self.mode == "offline" else "allow",
                dir=str(run.folder),
                config=dict(run.settings),
                settings=settings,
            )
        )


class _Run:
    def __init__(self, run: Any) -> None:
        self.run = run

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        self.run.log(dict(metrics), step=step)

    def close(self) -> None:
        self.run.finish()
