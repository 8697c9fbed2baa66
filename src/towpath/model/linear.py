"""Several linear projections of the same input as one matrix.

On a CPU one wide product is faster than three narrow ones, and its backward pass adds up no partial
gradients. What needs the projections apart (export, an optimizer that treats each matrix on its
own) asks ``fused_rows``.

... any leading dimensions, I inputs, O outputs of all parts together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

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


def fused_rows(model: nn.Module) -> dict[str, tuple[int, ...]]:
    """Name of each fused parameter -> how many rows each of its parts has."""
    return {
        f"{name}.{parameter}": module.part_sizes
        for name, module in model.named_modules()
        if isinstance(module, FusedLinear)
        for parameter, _ in module.named_parameters()
    }
