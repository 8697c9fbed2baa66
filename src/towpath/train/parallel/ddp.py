"""Every process holds the whole model and adds up gradients with the others.

Li et al. 2020, arXiv:2006.15704; see ``replicated``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from towpath.train.parallel import ManyProcesses

if TYPE_CHECKING:
    from towpath.train.config import TrainConfig
    from towpath.train.parallel.strategy import Strategy
    from towpath.train.precision import Precision


class DDPConfig(ManyProcesses):
    """Every process holds the whole model (Li et al. 2020, arXiv:2006.15704)."""

    type: Literal["ddp"] = "ddp"
    bucket_mb: float = Field(default=25.0, gt=0)
    """Megabytes of gradients that are sent at once while others are still computed."""

    def strategy(self, train: TrainConfig, precision: Precision) -> Strategy:
        """See ``ParallelConfig.strategy``."""
        from towpath.train.parallel.replicated import Replicated

        return Replicated(train, precision, self)
