"""The schedule that stays at the peak."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from towpath.train.schedules import ScheduleConfig

if TYPE_CHECKING:
    from towpath.train.config import TrainConfig


class ConstantConfig(ScheduleConfig):
    """Warmup, then the peak to the end."""

    type: Literal["constant"] = "constant"

    def factor(self, progress: float, train: TrainConfig) -> float:
        """See ``ScheduleConfig.factor``."""
        return 1.0
