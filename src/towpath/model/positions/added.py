"""Positions that are added to token embeddings: learned vectors, and fixed waves.

B batch, T tokens, C width, P positions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from towpath.model.positions.base import Positions

if TYPE_CHECKING:
    from jaxtyping import Float, Int

SINUSOIDAL_THETA = 10_000.0
"""Vaswani et al. 2017, section 3.5."""


class LearnedPositions(Positions):
    """One learned vector a position, added to the token embedding (GPT-2)."""

    adds = True

    def __init__(self, n_positions: int, n_embd: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(n_positions, n_embd))

    def add(
        self, x: Float[Tensor, "B T C"], start: int, places: Int[Tensor, "B T"] | None = None
    ) -> Float[Tensor, "B T C"]:
        """See ``Positions.add``."""
        return x + _rows(self.weight, start, x.shape[1], places)


class SinusoidalPositions(Positions):
    """Waves of n_embd / 2 frequencies, computed and kept out of saved weights.

    Embeddings are multiplied by sqrt(n_embd) (section 3.4), else waves of size 1 would drown them.
    """

    adds = True
    table: Tensor

    def __init__(self, n_positions: int, n_embd: int) -> None:
        super().__init__()
        self.scale = n_embd**0.5
        self.register_buffer("table", torch.empty(n_positions, n_embd), persistent=False)

    def fill_(self) -> None:
        """Set the table; see ``Positions.fill_``."""
        self.table.copy_(sinusoids(*self.table.shape))

    def add(
        self, x: Float[Tensor, "B T C"], start: int, places: Int[Tensor, "B T"] | None = None
    ) -> Float[Tensor, "B T C"]:
        """See ``Positions.add``."""
        return x * self.scale + _rows(self.table, start, x.shape[1], places).to(x.dtype)


def sinusoids(n_positions: int, n_embd: int) -> Float[Tensor, "P C"]:
    """Channel 2i of position p is sin(p / 10000^(2i/C)), channel 2i + 1 the cosine; fp32."""
    exponents = torch.arange(0, n_embd, 2, dtype=torch.float64) / n_embd  # (C/2,)
    angles = torch.outer(torch.arange(n_positions, dtype=torch.float64), SINUSOIDAL_THETA**-exponents)
    return torch.stack((angles.sin(), angles.cos()), dim=-1).flatten(1).float()


def _rows(table: Tensor, start: int, n_tokens: int, places: Tensor | None) -> Tensor:
    return table[start : start + n_tokens] if places is None else table[places]
