"""Muon: momentum whose matrix updates are made nearly orthogonal.

Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks"; the Newton-Schulz
coefficients are theirs, and so is the scale sqrt(max(1, rows / columns)) of the update.
Deviation: the iteration runs in fp32 on a CPU, where bf16 is the slow type, and in bf16 on a GPU
(torch.optim.Muon always takes bf16); a parameter may hold several matrices stacked by rows
(``stacked`` of its group), each made orthogonal by itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

_A, _B, _C = 3.4445, -4.7750, 2.0315


def orthogonalize(matrix: Tensor, iterations: int = 5) -> Tensor:
    """The nearest matrix with singular values around 1 (0.7 to 1.2), by Newton-Schulz iteration.

    Args:
        matrix: (..., rows, columns).
        iterations: 5 brings singular values above about 1e-3 of the largest into the range.

    Returns:
        The same shape, in the type of the iteration.
    """
    x = matrix.float() if matrix.device.type == "cpu" else matrix.bfloat16()
    tall = x.size(-2) > x.size(-1)
    if tall:
        x = x.mT
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(iterations):
        gram = x @ x.mT
        polynomial = _B * gram + _C * gram @ gram
        x = _A * x + polynomial @ x
    return x.mT if tall else x


class Muon(torch.optim.Optimizer):
    """Momentum with orthogonalised updates, for matrices. ``weight_decay`` is decoupled."""

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 0.02,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
        iterations: int = 5,
    ) -> None:
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "weight_decay": weight_decay,
            "iterations": iterations,
            "stacked": 1,
        }
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Update every parameter that has a gradient."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, group)

    def _update(self, parameter: Tensor, group: dict[str, Any]) -> None:
        state = self.state[parameter]
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(parameter)
        buffer, momentum = state["momentum"], group["momentum"]
        buffer.lerp_(parameter.grad, 1 - momentum)
        update = parameter.grad.lerp(buffer, momentum)
        rows, columns = parameter.shape
        stacked = group["stacked"]
        matrices = update.view(stacked, rows // stacked, columns)
        scale = max(1.0, rows / stacked / columns) ** 0.5
        parameter.mul_(1 - group["lr"] * group["weight_decay"])
        direction = orthogonalize(matrices, group["iterations"]).reshape(rows, columns)
        parameter.add_(direction.to(parameter.dtype), alpha=-group["lr"] * scale)
