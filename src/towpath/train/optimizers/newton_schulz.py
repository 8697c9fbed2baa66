"""Muon: momentum whose matrix updates are made nearly orthogonal.

Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks"; the Newton-Schulz
coefficients are theirs, and so is the scale sqrt(max(1, rows / columns)) of the update.
Deviation: the iteration runs in fp32 on a CPU, where bf16 is the slow type, and in bf16 on a GPU
(torch.optim.Muon always takes bf16); a parameter may hold several matrices one below the other
(``row_parts`` of its group: the rows of each) or, with three dimensions, side by side (an expert's
each), and each is made orthogonal by itself.
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
        matrix: (rows, columns), or several of that shape (N, rows, columns).
        iterations: 5 brings singular values above about 1e-3 of the largest into the range.

    Returns:
        The same shape, in the type of the iteration.
    """
    x = matrix.float() if matrix.device.type == "cpu" else matrix.bfloat16()
    add_product = torch.addmm if x.dim() == 2 else torch.baddbmm
    tall = x.size(-2) > x.size(-1)
    if tall:
        x = x.mT
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(iterations):
        gram = x @ x.mT
        polynomial = add_product(gram, gram, gram, beta=_B, alpha=_C)
        x = add_product(x, polynomial, x, beta=_A)
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
            "row_parts": None,
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
        buffer, momentum, gradient = state["momentum"], group["momentum"], parameter.grad
        assert gradient is not None
        buffer.lerp_(gradient, 1 - momentum)
        update = gradient.lerp(buffer, momentum)
        parameter.mul_(1 - group["lr"] * group["weight_decay"])
        sizes = group["row_parts"] or (parameter.shape[-2],)
        if hasattr(parameter, "placements"):
            _add_to_cut(parameter, update, sizes, group)
            return
        for part, direction in zip(parameter.split(sizes, -2), update.split(sizes, -2), strict=True):
            rows, columns = part.shape[-2:]
            scale = max(1.0, rows / columns) ** 0.5
            step = orthogonalize(direction, group["iterations"]).to(part.dtype)
            part.add_(step, alpha=-group["lr"] * scale)


def _add_to_cut(parameter: Tensor, update: Tensor, sizes: tuple[int, ...], group: dict[str, Any]) -> None:
    """The update of a matrix of which each process holds a part: gather, orthogonalise, keep one's own part.

    Every process of the matrix does the same iteration, so nothing but the momentum is sent.
    """
    from towpath.train.parallel.shards import cut_like, in_one_piece

    steps = []
    for direction in in_one_piece(update).split(sizes, -2):
        rows, columns = direction.shape[-2:]
        step = orthogonalize(direction, group["iterations"]).to(direction.dtype)
        steps.append(step * max(1.0, rows / columns) ** 0.5)
    parameter.add_(cut_like(torch.cat(steps, -2), parameter), alpha=-group["lr"])
