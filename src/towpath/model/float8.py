"""Products in 8-bit floats on a GPU that has them, by torchao; weights and optimizer stay as they are.

Scaled by whole tensors, anew in every pass (Micikevicius et al. 2022, arXiv:2209.05433; torchao's recipe
"tensorwise").
"""

from __future__ import annotations

from typing import Any, cast

from torch import nn

from towpath.model.linear import FusedLinear

TILE = 16
"""GPUs multiply 8-bit floats in tiles of this many rows and columns."""


def use_float8_(model: nn.Module, *, emulated: bool = False) -> int:
    """The linear layers of ``model`` compute in 8-bit floats. Returns how many.

    The output head stays as it is, as in int8, and so does a layer whose width is no multiple of ``TILE``.

    Args:
        emulated: by the same rounding in wider products, for tests on a machine without such a GPU.
    """
    from torchao.float8 import (  # pyright: ignore[reportMissingImports]
        Float8LinearConfig,
        convert_to_float8_training,
    )
    from torchao.float8.float8_linear import Float8Linear  # pyright: ignore[reportMissingImports]

    class Float8FusedLinear(Float8Linear, FusedLinear):
        """Whose output can be taken apart."""

    def is_taken(part: nn.Module, name: str) -> bool:
        wide = isinstance(part, nn.Linear) and not (part.in_features % TILE or part.out_features % TILE)
        return wide and part is not head

    head = getattr(model, "head", None)
    sizes = {name: part.part_sizes for name, part in model.named_modules() if isinstance(part, FusedLinear)}
    config = Float8LinearConfig(emulate=emulated)
    convert_to_float8_training(model, module_filter_fn=is_taken, config=config)
    layers: list[Any] = [part for part in model.modules() if isinstance(part, Float8Linear)]
    for name, part in model.named_modules():  # torchao makes plain layers of all
        if name in sizes and isinstance(part, Float8Linear):
            part.__class__ = Float8FusedLinear
            cast("FusedLinear", part).part_sizes = sizes[name]
    return len(layers)
