"""Optimizers: the named choices of ``train.optimizer``.

Comes in: the parameters of a model that learn. Goes out: torch optimizers, each for its share of
them. To add one: a module here with its section, whose ``build`` makes the torch optimizers, and a
line in ``OPTIMIZERS``. Sections start no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from towpath.core.catalogue import Catalogue
from towpath.core.config import Section

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer

    from towpath.train.config import TrainConfig

OPTIMIZERS = Catalogue(
    "optimizer",
    {
        "adafactor": "towpath.train.optimizers.adafactor:AdafactorConfig",
        "adamw": "towpath.train.optimizers.adamw:AdamWConfig",
        "adamw8bit": "towpath.train.optimizers.adamw8bit:AdamW8bitConfig",
        "muon": "towpath.train.optimizers.muon:MuonConfig",
    },
    group="towpath.optimizers",
)


class OptimizerConfig(Section):
    """What every optimizer's section has."""

    updates_parts: ClassVar[bool] = True
    """Whether it can update a tensor of which each process holds a part."""
    type: Any

    def build(
        self, model: nn.Module, named: Mapping[str, nn.Parameter], train: TrainConfig
    ) -> dict[str, Optimizer]:
        """Torch optimizers by a short label; each parameter of ``named`` belongs to one of them.

        The learning rate of a group when it is made is its peak. All state must be tensors by
        parameter: it is saved without pickle.
        """
        raise NotImplementedError
