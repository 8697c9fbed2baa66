"""Several linear projections of the same input as one matrix, and matrices of one shape as one tensor.

On a CPU one wide product is faster than three narrow ones, and its backward pass adds up no partial
gradients. What needs the projections apart (export, an optimizer that treats each matrix on its
own) asks ``fused_rows``; what treats matrices knows that those of a ``StackedLinear`` have one
dimension more.

... any leading dimensions, I inputs, O outputs of all parts together, N matrices of a stack.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from jaxtyping import Float


class FusedLinear(nn.Linear):
    """A linear layer whose output rows are the given parts, one after the other."""

    def __init__(self, in_features: int, part_sizes: tuple[int, ...], *, bias: bool) -> None:
        super().__init__(in_features, sum(part_sizes), bias=bias)
        self.part_sizes = part_sizes

    def parts(self, x: Float[Tensor, "... I"]) -> tuple[Float[Tensor, "... _"], ...]:
        """The output of each part, as views of one tensor."""
        return self(x).split(self.part_sizes, dim=-1)


class StackedLinear(nn.Module):
    """Matrices of one shape in one tensor (N, O, I), of which each input goes through ``used``."""

    def __init__(self, stacked: int, in_features: int, part_sizes: tuple[int, ...], used: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(stacked, sum(part_sizes), in_features))
        self.part_sizes, self.used = part_sizes, used


def fused_rows(model: nn.Module) -> dict[str, tuple[int, ...]]:
    """Name of each fused parameter -> how many rows each of its parts has."""
    return {
        f"{name}.{parameter}": module.part_sizes
        for name, module in model.named_modules()
        if isinstance(module, FusedLinear | StackedLinear)
        for parameter, _ in module.named_parameters()
    }
