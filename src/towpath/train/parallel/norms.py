"""The gradient's norm where processes hold parts of it."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor

from towpath.train.parallel.group import Group


@torch.no_grad()
def clip_(parameters: Iterable[Tensor], longest: float, group: Group) -> float:
    """Scale the gradients of all ``parameters`` together down to ``longest``. Returns the norm before.

    A gradient that is cut up counts once for all its parts, one that every process has counts once.
    """
    parts = [_part(value.grad) for value in parameters if value.grad is not None]
    cut = group.sum_(_square([part for part, is_whole in parts if not is_whole], group))
    norm = (cut + _square([part for part, is_whole in parts if is_whole], group)).sqrt()
    share = torch.clamp(longest / (norm + 1e-6), max=1.0)
    for part, _ in parts:
        part.mul_(share.to(part.device))
    return float(norm)


def _part(gradient: Tensor) -> tuple[Tensor, bool]:
    """What of ``gradient`` lies here, and whether that is all of it."""
    if not isinstance(gradient, DTensor):
        return gradient, True
    return gradient.to_local(), all(placement.is_replicate() for placement in gradient.placements)


def _square(parts: list[Tensor], group: Group) -> Tensor:
    if not parts:
        return torch.zeros((), device=group.device)
    return torch.stack([torch.linalg.vector_norm(part) for part in parts]).square().sum().to(group.device)
