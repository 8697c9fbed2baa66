"""One process with the whole model: the default."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from towpath.core.errors import TrainError
from towpath.core.processes import world_size
from towpath.train.parallel import ParallelConfig

if TYPE_CHECKING:
    from towpath.model.config import TransformerConfig
    from towpath.train.config import TrainConfig
    from towpath.train.parallel.strategy import Strategy
    from towpath.train.precision import Precision


class SingleConfig(ParallelConfig):
    """One process with the whole model."""

    type: Literal["single"] = "single"

    def strategy(self, train: TrainConfig, precision: Precision) -> Strategy:
        """See ``ParallelConfig.strategy``."""
        from towpath.train.parallel.strategy import Strategy

        _check_alone()
        return Strategy(train, precision)

    def check_job(self, train: TrainConfig, model: TransformerConfig) -> None:
        """See ``ParallelConfig.check_job``."""
        _check_alone()


def _check_alone() -> None:
    if world_size() > 1:
        raise TrainError(
            f'{world_size()} processes were started, but train.parallel is "single": each would train '
            "the same model. Set train.parallel.type=ddp, or start one process."
        )
