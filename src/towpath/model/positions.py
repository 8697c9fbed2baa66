"""Position encodings as parts of a decoder: what is added to embeddings or scores, what rotates heads.

A part answers all questions, so that a decoder does not know which kind it has. To add one, write
a class that overrides what it needs of ``Positions`` and use it in a layout.

B batch, T tokens, C width.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from towpath.model.rotary import Rotation, rotation_tables

if TYPE_CHECKING:
    from jaxtyping import Float


class Positions(nn.Module):
    """What a decoder asks of its position encoding. This one adds nothing: tokens have no order."""

    def add(self, x: Float[Tensor, "B T C"], start: int) -> Float[Tensor, "B T C"]:
        """Token embeddings ``x``, the first at position ``start``, with what the encoding adds."""
        return x

    def rotation(self, start: int, n_tokens: int) -> Rotation | None:
        """How queries and keys of positions from ``start`` are turned. None: not at all."""

    def bias(self, start: int, n_tokens: int) -> Float[Tensor, "H T S"] | None:
        """What is added to scores of T queries from ``start`` and S = start + T keys. None: nothing."""

    def fill_(self) -> None:
        """Set what is computed and not learned, once the encoding lies on a real device."""


class LearnedPositions(Positions):
    """One learned vector a position, added to the token embedding (GPT-2)."""

    def __init__(self, n_positions: int, n_embd: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(n_positions, n_embd))

    def add(self, x: Float[Tensor, "B T C"], start: int) -> Float[Tensor, "B T C"]:
        """See ``Positions.add``."""
        return x + self.weight[start : start + x.shape[1]]


class RotaryPositions(Positions):
    """Rotations of every position of the context, made once and kept out of saved weights."""

    cosine: Tensor
    sine: Tensor

    def __init__(self, n_positions: int, head_width: int, theta: float) -> None:
        super().__init__()
        self.n_positions, self.head_width, self.theta = n_positions, head_width, theta
        for name in ("cosine", "sine"):
            self.register_buffer(name, torch.empty(n_positions, 1, head_width), persistent=False)

    def fill_(self) -> None:
        """Set the tables; see ``Positions.fill_``."""
        tables = rotation_tables(self.n_positions, self.head_width, self.theta)
        self.cosine.copy_(tables.cosine)
        self.sine.copy_(tables.sine)

    def rotation(self, start: int, n_tokens: int) -> Rotation:
        """See ``Positions.rotation``."""
        stop = start + n_tokens
        return Rotation(self.cosine[start:stop], self.sine[start:stop])
