"""AdamW whose two moments take one byte a weight each: Dettmers et al. 2022, arXiv:2110.02861."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from towpath.train.optimizers import OptimizerConfig
from towpath.train.optimizers.adamw import decayed_groups

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer

    from towpath.train.config import TrainConfig


class AdamW8bitConfig(OptimizerConfig):
    """AdamW with moments of one byte a weight (Dettmers et al. 2022): a quarter of their memory."""

    updates_parts: ClassVar[bool] = False
    type: Literal["adamw8bit"] = "adamw8bit"
    block_size: int = Field(default=256, ge=16, le=65536)
    """Weights that share one scale. The paper has 2,048; 256 is torchao's."""

    def build(
        self, model: nn.Module, named: Mapping[str, nn.Parameter], train: TrainConfig
    ) -> dict[str, Optimizer]:
        """See ``OptimizerConfig.build``."""
        from towpath.train.optimizers.blockwise import AdamW8bit

        optimizer = AdamW8bit(
            decayed_groups(named, train.weight_decay),
            lr=train.learning_rate,
            betas=(train.beta1, train.beta2),
            eps=train.epsilon,
            block_size=self.block_size,
        )
        return {"adamw8bit": optimizer}
