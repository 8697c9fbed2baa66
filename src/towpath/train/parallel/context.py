"""Every process holds a part of each window's tokens, for contexts that one device can't hold.

Llama 3, arXiv:2407.21783, section 3.3.2; see ``windows``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from towpath.train.parallel.ddp import DDPConfig

if TYPE_CHECKING:
    from towpath.train.config import TrainConfig
    from towpath.train.parallel.strategy import Strategy
    from towpath.train.precision import Precision


class ContextConfig(DDPConfig):
    """Every process holds a part of each window's tokens (arXiv:2407.21783, section 3.3.2)."""

    type: Literal["context"] = "context"  # pyright: ignore[reportIncompatibleVariableOverride]

    def strategy(self, train: TrainConfig, precision: Precision) -> Strategy:
        """See ``ParallelConfig.strategy``."""
        from towpath.train.parallel.windows import SharedContext

        return SharedContext(train, precision, self)

    def data_ranks(self, processes: int) -> int:
        """See ``ManyProcesses.data_ranks``: all learn from the same."""
        return 1
