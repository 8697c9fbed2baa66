"""Learning-rate schedules: the named choices of ``train.schedule``.

To add one: a module here with its section, whose ``factor`` is the share of the peak at a point of
the run, and a line in ``SCHEDULES``. The warmup is the same for all, see ``train.schedule``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from towpath.core.catalogue import Catalogue
from towpath.core.config import Section

if TYPE_CHECKING:
    from towpath.train.config import TrainConfig

SCHEDULES = Catalogue(
    "schedule",
    {
        "constant": "towpath.train.schedules.constant:ConstantConfig",
        "cosine": "towpath.train.schedules.cosine:CosineConfig",
        "linear": "towpath.train.schedules.linear:LinearConfig",
        "wsd": "towpath.train.schedules.wsd:WarmupStableDecayConfig",
    },
    group="towpath.schedules",
)


class ScheduleConfig(Section):
    """What every schedule's section has."""

    type: Any

    def factor(self, progress: float, train: TrainConfig) -> float:
        """Share of the peak learning rate; ``progress`` goes from 0, the warmup's end, to 1."""
        raise NotImplementedError
