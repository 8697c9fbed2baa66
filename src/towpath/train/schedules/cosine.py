"""Half a cosine: Loshchilov and Hutter 2017, arXiv:1608.03983, equation 5, without restarts."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from towpath.train.schedules import ScheduleConfig

if TYPE_CHECKING:
    from towpath.train.config import TrainConfig


class CosineConfig(ScheduleConfig):
    """Warmup, then half a cosine down to ``final_ratio`` (Loshchilov and Hutter 2017, arXiv:1608.03983)."""

    type: Literal["cosine"] = "cosine"
    final_ratio: float = Field(default=0.1, ge=0, le=1)
    """Learning rate of the last step, as a share of the peak."""

    def factor(self, progress: float, train: TrainConfig) -> float:
        """See ``ScheduleConfig.factor``."""
        return self.final_ratio + (1 - self.final_ratio) * 0.5 * (1 + math.cos(math.pi * progress))
