"""Warmup, stable, decay: Hu et al. 2024 (MiniCPM), arXiv:2404.06395, section 4."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from towpath.train.schedules import ScheduleConfig

if TYPE_CHECKING:
    from towpath.train.config import TrainConfig


class WarmupStableDecayConfig(ScheduleConfig):
    """Warmup, a long plateau, a linear decay (Hu et al. 2024, MiniCPM, arXiv:2404.06395, section 4)."""

    type: Literal["wsd"] = "wsd"
    decay_ratio: float = Field(default=0.4, ge=0, le=1)
    """Share of all steps that the final decay takes, at most all after the warmup."""
    final_ratio: float = Field(default=0.0, ge=0, le=1)
    """Learning rate at the end of the decay, as a share of the peak."""

    def factor(self, progress: float, train: TrainConfig) -> float:
        """See ``ScheduleConfig.factor``."""
        after_warmup = max(1, train.max_steps - train.warmup_steps)
        decay_share = min(1.0, self.decay_ratio * train.max_steps / after_warmup)
        left = (1 - progress) / decay_share if decay_share else 1.0
        return self.final_ratio + (1 - self.final_ratio) * min(1.0, left)
