"""Adafactor: Shazeer and Stern 2018, arXiv:1804.04235, algorithm 4, by ``torch.optim.Adafactor``.

Of a matrix's second moments it keeps the mean of each row and of each column, and no first moment:
of 124 M parameters that is 0.5 MB instead of AdamW's 1 GB. ``torch.optim.Adafactor`` with its
defaults is the paper's algorithm with two deviations, which it names itself: the step is
``learning_rate`` and not one relative to the number of steps, and decay is decoupled.
"""

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


class AdafactorConfig(OptimizerConfig):
    """Adafactor for every parameter (Shazeer and Stern 2018): second moments by rows and columns alone."""

    updates_parts: ClassVar[bool] = False
    type: Literal["adafactor"] = "adafactor"
    beta2_decay: float = Field(default=-0.8, lt=0)
    """Exponent c of the decay 1 - t^c of second moments (section 7.2)."""
    clip_threshold: float = Field(default=1.0, gt=0)
    """An update whose root mean square is larger is scaled down to it (section 6)."""
    min_scale: float = Field(default=1e-3, gt=0)
    """Least root mean square of a parameter by which its step is multiplied (section 8, epsilon 2)."""

    def build(
        self, model: nn.Module, named: Mapping[str, nn.Parameter], train: TrainConfig
    ) -> dict[str, Optimizer]:
        """See ``OptimizerConfig.build``."""
        import torch

        adafactor = torch.optim.Adafactor(
            decayed_groups(named, train.weight_decay),
            lr=train.learning_rate,
            beta2_decay=self.beta2_decay,
            eps=(None, self.min_scale),
            d=self.clip_threshold,
        )
        return {"adafactor": adafactor}
