"""A straight line down."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from towpath.train.schedules import ScheduleConfig

if TYPE_CHECKING:
    from towpath.train.config import TrainConfig


class LinearConfig(ScheduleConfig):
    """Warmup, then a straight line down to ``final_ratio``."""

    type: Literal["linear"] = "linear"
    final_ratio: float = Field(default=0.0, ge=0, le=1)
    """Learning rate of the last step, as a share of the peak."""

    def factor(self, progress: float, train: TrainConfig) -> float:
        """See ``ScheduleConfig.factor``."""
        return 1 - (1 - self.final_ratio) * progress
