"""Trackers: the named choices of ``train.trackers``, where figures are shown beside ``log.jsonl``.

Comes in: the rows of a stage's ``log.jsonl``. Goes out: the same figures in W&B, TensorBoard, MLflow,
trackio or another file. Each tracker lives in a process of its own (``follow``) that reads the log from
the disk, so that one that is slow, hangs, asks or dies can't take anything from training. To add one: a
module here with its section, whose ``open`` makes the tracker, and a line in ``TRACKERS``. Sections
import their package in ``load`` alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from pydantic import Field

from towpath.core.catalogue import Catalogue
from towpath.core.config import Section

TRACKERS = Catalogue(
    "tracker",
    {
        "wandb": "towpath.train.trackers.wandb:WandbConfig",
        "tensorboard": "towpath.train.trackers.tensorboard:TensorBoardConfig",
        "mlflow": "towpath.train.trackers.mlflow:MLflowConfig",
        "trackio": "towpath.train.trackers.trackio:TrackioConfig",
        "jsonl": "towpath.train.trackers.jsonl:JsonlConfig",
    },
    group="towpath.trackers",
)


class Tracker(Protocol):
    """A run in a tracker; all calls come from one thread, steps never fall."""

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Record figures of one optimizer step; names are like ``train/loss``."""

    def close(self) -> None:
        """Nothing more comes."""


@dataclass(frozen=True)
class TrackedRun:
    """What a tracker is told of the stage. The same ``id`` comes back when the stage is gone on with."""

    id: str
    name: str
    folder: Path
    """Where the tracker may write; beside ``log.jsonl``."""
    settings: Mapping[str, Any]
    """The table ``[train]``, as plain JSON."""
    remembered: dict[str, str]
    """What the tracker keeps for the next start, such as an id that its server gave; empty at first."""


class TrackerConfig(Section):
    """What every tracker's section has."""

    type: Any
    init_seconds: float = Field(default=5.0, gt=0)
    """A tracker that is not ready after this time is given up with one warning; nobody waits for it."""
    close_seconds: float = Field(default=10.0, gt=0)
    """What a tracker gets at the end of the stage to send what is left; the next start sends the rest."""

    def load(self) -> None:
        """Import the tracker's package.

        Raises:
            MissingPackageError: it is not installed.
        """

    def open(self, run: TrackedRun) -> Tracker:
        """Start ``run`` in the tracker, or go on with it."""
        raise NotImplementedError
