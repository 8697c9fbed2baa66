"""Every process holds a part of each block's matrices and computes a part of each product.

Shoeybi et al. 2019, arXiv:1909.08053, section 3; see ``cut_model``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from towpath.train.parallel import ManyProcesses

if TYPE_CHECKING:
    from towpath.train.config import TrainConfig
    from towpath.train.parallel.strategy import Strategy
    from towpath.train.precision import Precision


class TensorConfig(ManyProcesses):
    """Every process computes a part of each product (Shoeybi et al. 2019, arXiv:1909.08053)."""

    type: Literal["tensor"] = "tensor"

    def strategy(self, train: TrainConfig, precision: Precision) -> Strategy:
        """See ``ParallelConfig.strategy``."""
        from towpath.train.parallel.cut_model import CutModel

        return CutModel(train, precision, self)
