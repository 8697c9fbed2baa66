"""AdamW: Loshchilov and Hutter 2019, arXiv:1711.05101, algorithm 2, by ``torch.optim.AdamW``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from towpath.train.optimizers import OptimizerConfig

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer

    from towpath.train.config import TrainConfig


class AdamWConfig(OptimizerConfig):
    """AdamW for every parameter (Loshchilov and Hutter 2019, arXiv:1711.05101)."""

    type: Literal["adamw"] = "adamw"

    def build(
        self, model: nn.Module, named: Mapping[str, nn.Parameter], train: TrainConfig
    ) -> dict[str, Optimizer]:
        """See ``OptimizerConfig.build``."""
        return {"adamw": adamw(named, train)}


def adamw(named: Mapping[str, nn.Parameter], train: TrainConfig) -> Optimizer:
    """AdamW with the settings of ``train``."""
    import torch

    return torch.optim.AdamW(
        decayed_groups(named, train.weight_decay),
        lr=train.learning_rate,
        betas=(train.beta1, train.beta2),
        eps=train.epsilon,
        fused=True,
    )


def decayed_groups(named: Mapping[str, nn.Parameter], weight_decay: float) -> list[dict[str, Any]]:
    """Two groups: matrices with ``weight_decay``, vectors (norms, biases) without."""
    groups = [
        {"params": [value for value in named.values() if value.ndim >= 2], "weight_decay": weight_decay},
        {"params": [value for value in named.values() if value.ndim < 2], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]
