"""Every process holds a part of each block's matrices and computes a part of each product.

Shoeybi et al. 2019, arXiv:1909.08053, section 3; see ``cut_model``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from towpath.train.parallel import ManyProcesses, check_updates_parts

if TYPE_CHECKING:
    from towpath.model.config import TransformerConfig
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

    def data_ranks(self, processes: int) -> int:
        """See ``ManyProcesses.data_ranks``: all learn from the same."""
        return 1

    def check_job(self, train: TrainConfig, model: TransformerConfig) -> None:
        """See ``ParallelConfig.check_job``: heads and widths are cut into equal parts."""
        import torch

        from towpath.core.processes import world_size
        from towpath.train.parallel.cut_model import check_cuts

        super().check_job(train, model)
        with torch.device("meta"):
            check_cuts(model.for_tokenizer(1).layout(), world_size())

    def check(self, train: TrainConfig) -> None:
        """See ``ParallelConfig.check``."""
        check_updates_parts(train)
        if train.precision == "int8":
            raise ValueError(
                'precision = "int8" has a scale for each row of a whole matrix, and parallel.type = "tensor" '
                'cuts matrices up. Take parallel.type = "ddp" or "fsdp", or precision = "auto".'
            )

    def check_model(self, model: TransformerConfig) -> None:
        """See ``ParallelConfig.check_model``."""
        if model.family == "encoder-decoder":
            raise ValueError(
                'train.parallel.type = "tensor" cuts attention by heads, and model.type = '
                f'"{model.type}" adds a number to the scores of each head. Take train.parallel.type = "fsdp".'
            )
        kind = getattr(getattr(model, "positions", None), "type", None)
        if kind in ("alibi", "t5"):
            raise ValueError(
                'train.parallel.type = "tensor" cuts attention by heads, and model.positions.type = '
                f'"{kind}" adds a number to the scores of each head. Take train.parallel.type = "fsdp", or '
                'positions.type = "rope".'
            )
