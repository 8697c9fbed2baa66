"""Rotary positions as a part of a decoder: the tables of every position of the context.

T tokens, D head dimension.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from towpath.model.positions.base import Positions
from towpath.model.positions.scaling import RopeScaling, Unscaled
from towpath.model.rotary import Rotation, rotation_tables

if TYPE_CHECKING:
    from jaxtyping import Int


class RotaryPositions(Positions):
    """Rotations of every position of the context, made once and kept out of saved weights."""

    cosine: Tensor
    sine: Tensor

    def __init__(
        self, n_positions: int, head_width: int, theta: float, scaling: RopeScaling | None = None
    ) -> None:
        super().__init__()
        self.n_positions, self.head_width, self.theta = n_positions, head_width, theta
        self.scaling = scaling or Unscaled()
        for name in ("cosine", "sine"):
            self.register_buffer(name, torch.empty(n_positions, 1, head_width), persistent=False)

    def fill_(self) -> None:
        """Set the tables; see ``Positions.fill_``."""
        frequencies = self.scaling.frequencies(self.theta, self.head_width)
        tables = rotation_tables(self.n_positions, frequencies, self.scaling.magnitude)
        self.cosine.copy_(tables.cosine)
        self.sine.copy_(tables.sine)

    def rotation(self, start: int, n_tokens: int, places: Int[Tensor, "*B T"] | None = None) -> Rotation:
        """See ``Positions.rotation``."""
        if places is not None:
            return Rotation(self.cosine[places], self.sine[places])
        stop = start + n_tokens
        return Rotation(self.cosine[start:stop], self.sine[start:stop])
