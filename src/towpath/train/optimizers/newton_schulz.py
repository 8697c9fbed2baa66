"""Muon: momentum whose matrix updates are made nearly orthogonal.

Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks"; the Newton-Schulz
coefficients are theirs, and so is the scale sqrt(max(1, rows / columns)) of the update.
Deviation: the iteration runs in fp32 on a CPU, where bf16 is the slow type, and in bf16 on a GPU
(torch.optim.Muon always takes bf16); a parameter may hold several matrices one below the other
(``row_parts`` of its group: the rows of each) or, with three dimensions, side by side (an expert's
each), and each is made orthogonal by itself. Two choices of later work: the iteration of Polar
Express (Amsel et al. 2025, arXiv:2505.16932, algorithm 1), and the scale 0.2 sqrt(max(rows, columns))
of Moonshot (Liu et al. 2025, arXiv:2502.16982, section 2.2), whose updates have AdamW's size.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

_JORDAN = (3.4445, -4.7750, 2.0315)
_POLAR_EXPRESS = (
    (8.28721201814563, -23.595886519098837, 17.300387312530933),
    (4.107059111542203, -2.9478499167379106, 0.5448431082926601),
    (3.9486908534822946, -2.908902115962949, 0.5518191394370137),
    (3.3184196573706015, -2.488488024314874, 0.51004894012372),
    (2.300652019954817, -1.6689039845747493, 0.4188073119525673),
    (1.891301407787398, -1.2679958271945868, 0.37680408948524835),
    (1.8750014808534479, -1.2500016453999487, 0.3750001645474248),
    (1.875, -1.25, 0.375),
)
"""Coefficients of x, x^3 and x^5 of each iteration; the last stands for all further ones."""
_SAFETY = 1.01
"""Divides singular values, so that rounding leaves none above 1 (the paper's listing)."""


def orthogonalize(matrix: Tensor, iterations: int = 5, polynomial: str = "jordan") -> Tensor:
    """The nearest matrix with singular values around 1 (0.7 to 1.2), by Newton-Schulz iteration.

    Args:
        matrix: (rows, columns), or several of that shape (N, rows, columns).
        iterations: 5 brings singular values above about 1e-3 of the largest into the range.
        polynomial: jordan, or polar_express.

    Returns:
        The same shape, in the type of the iteration.
    """
    x = matrix.float() if matrix.device.type == "cpu" else matrix.bfloat16()
    add_product = torch.addmm if x.dim() == 2 else torch.baddbmm
    tall = x.size(-2) > x.size(-1)
    if tall:
        x = x.mT
    margin = _SAFETY if polynomial == "polar_express" else 1.0
    x = x / (x.norm(dim=(-2, -1), keepdim=True) * margin + 1e-7)
    for a, b, c in _coefficients(polynomial, iterations):
        gram = x @ x.mT
        of_gram = add_product(gram, gram, gram, beta=b, alpha=c)
        x = add_product(x, of_gram, x, beta=a)
    return x.mT if tall else x


def _coefficients(polynomial: str, iterations: int) -> list[tuple[float, float, float]]:
    if polynomial == "jordan":
        return [_JORDAN] * iterations
    inner = [(a / _SAFETY, b / _SAFETY**3, c / _SAFETY**5) for a, b, c in _POLAR_EXPRESS[:-1]]
    return [*inner, *[_POLAR_EXPRESS[-1]] * iterations][:iterations]


def _scale(rows: int, columns: int, rule: str) -> float:
    """What an orthogonal update is multiplied by."""
    if rule == "moonshot":
        return 0.2 * max(rows, columns) ** 0.5
    return max(1.0, rows / columns) ** 0.5


class Muon(torch.optim.Optimizer):
    """Momentum with orthogonalised updates, for matrices. ``weight_decay`` is decoupled."""

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 0.02,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
        iterations: int = 5,
        polynomial: str = "jordan",
        scale: str = "jordan",
    ) -> None:
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "weight_decay": weight_decay,
            "iterations": iterations,
            "polynomial": polynomial,
            "scale": scale,
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
            scale = _scale(rows, columns, group["scale"])
            step = orthogonalize(direction, group["iterations"], group["polynomial"]).to(part.dtype)
            part.add_(step, alpha=-group["lr"] * scale)


def _add_to_cut(parameter: Tensor, update: Tensor, sizes: tuple[int, ...], group: dict[str, Any]) -> None:
    """The update of a matrix of which each process holds a part: gather, orthogonalise, keep one's own part.

    Every process of the matrix does the same iteration, so nothing but the momentum is sent.
    """
    from towpath.train.parallel.shards import cut_like, in_one_piece

    steps = []
    for direction in in_one_piece(update).split(sizes, -2):
        rows, columns = direction.shape[-2:]
        step = orthogonalize(direction, group["iterations"], group["polynomial"]).to(direction.dtype)
        steps.append(step * _scale(rows, columns, group["scale"]))
    parameter.add_(cut_like(torch.cat(steps, -2), parameter), alpha=-group["lr"])
