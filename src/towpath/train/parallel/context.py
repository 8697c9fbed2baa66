"""Every process holds a part of each window's tokens, for contexts that one device can't hold.

Llama 3, arXiv:2407.21783, section 3.3.2; see ``windows``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from towpath.train.parallel.ddp import DDPConfig

if TYPE_CHECKING:
    from towpath.model.config import TransformerConfig
    from towpath.train.config import TrainConfig
    from towpath.train.parallel.strategy import Strategy
    from towpath.train.precision import Precision

_PLAIN_DECODERS = ("gpt2", "modern")


class ContextConfig(DDPConfig):
    """Every process holds a part of each window's tokens (arXiv:2407.21783, section 3.3.2)."""

    type: Literal["context"] = "context"  # pyright: ignore[reportIncompatibleVariableOverride]

    def strategy(self, train: TrainConfig, precision: Precision) -> Strategy:
        """See ``ParallelConfig.strategy``."""
        from towpath.train.parallel.windows import SharedContext

        return SharedContext(train, precision, self)

    def check_model(self, model: TransformerConfig) -> None:
        """See ``ParallelConfig.check_model``."""
        if model.type not in _PLAIN_DECODERS:
            raise ValueError(
                'train.parallel.type = "context" shares the windows of plain decoders, and model.type = '
                f'"{model.type}" is none. Take train.parallel.type = "fsdp", or model.type = "modern".'
            )

    def data_ranks(self, processes: int) -> int:
        """See ``ManyProcesses.data_ranks``: all learn from the same."""
        return 1
