"""Selection biases of experts: a step moves each by a fixed distance towards an even load.

Wang et al. 2024, arXiv:2408.15664, algorithm 1: b += rate * sign(mean load - load). The gradient of a
bias is how far its expert's load of the step is from even, summed over passes and processes like any
gradient (``towpath.model.experts``), so a step that is left out moves none. The rate follows no schedule.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import nn

from towpath.model.experts import ExpertLayer


class SelectionBias(torch.optim.Optimizer):
    """Moves against the sign of the gradient. No state; ``lr`` is not used, and 0 in every figure."""

    def __init__(self, params: Iterable[Any], rate: float) -> None:
        super().__init__(params, {"lr": 0.0, "rate": rate})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Move every bias that has a gradient."""
        for group in self.param_groups:
            for bias in group["params"]:
                if bias.grad is not None:
                    bias.add_(bias.grad.sign(), alpha=-group["rate"])


def selection_biases(
    model: nn.Module, named: Mapping[str, nn.Parameter]
) -> tuple[dict[str, nn.Parameter], dict[str, torch.optim.Optimizer]]:
    """``named`` without selection biases, and what moves those; nothing where there are none."""
    layers = [module for module in model.modules() if isinstance(module, ExpertLayer)]
    biases = {layer.selection_bias: layer for layer in layers if layer.selection_bias is not None}
    rest = {name: value for name, value in named.items() if value not in biases}
    mine = [value for value in named.values() if value in biases]
    if not mine:
        return rest, {}
    rate = biases[mine[0]].config.balance.bias_rate
    return rest, {"selection_bias": SelectionBias(mine, rate)}
