"""Every process holds a part of each tensor: weights, gradients and optimizer state.

Zhao et al. 2023, arXiv:2304.11277; see ``sharded``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from towpath.core.errors import TrainError
from towpath.train.parallel import ManyProcesses, check_updates_parts

if TYPE_CHECKING:
    from towpath.train.config import TrainConfig
    from towpath.train.parallel.strategy import Strategy
    from towpath.train.precision import Precision


class FSDPConfig(ManyProcesses):
    """Every process holds a part of each tensor (Zhao et al. 2023, arXiv:2304.11277)."""

    type: Literal["fsdp"] = "fsdp"
    reshard_after_forward: bool = True
    """Forget a block's gathered weights after its forward pass and gather them again for the backward."""
    offload: bool = False
    """Keep weights, gradients and optimizer state in the host's memory; needs a GPU to make sense."""

    def strategy(self, train: TrainConfig, precision: Precision) -> Strategy:
        """See ``ParallelConfig.strategy``."""
        from towpath.train.parallel.sharded import Sharded

        if self.offload and precision.device.type == "cpu":
            raise TrainError(
                "train.parallel.offload = true moves tensors from a GPU to the host; this run is on the CPU. "
                "Set train.parallel.offload = false."
            )
        return Sharded(train, precision, self)

    def check(self, train: TrainConfig) -> None:
        """See ``ParallelConfig.check``."""
        check_updates_parts(train)
        if self.offload and train.device == "cpu":
            raise ValueError(
                'parallel.offload = true moves tensors from a GPU to the host, and device = "cpu". '
                "Set parallel.offload = false."
            )
