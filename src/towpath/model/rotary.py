"""Rotary position embedding: a position is a rotation of each query and key pair.

Su et al. 2021, arXiv:2104.09864, section 3.2.2, equation 34.
Deviation: pairs are (i, i + D/2), as in Llama and transformers, not (2i, 2i + 1).

B batch, T tokens, H heads, D head dimension.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

if TYPE_CHECKING:
    from jaxtyping import Float


class Rotation(NamedTuple):
    """The angles of T positions; the sine carries a minus in its left half."""

    cosine: Float[Tensor, "T 1 D"]
    sine: Float[Tensor, "T 1 D"]


def rotate(x: Float[Tensor, "B T H D"], rotation: Rotation) -> Float[Tensor, "B T H D"]:
    """Rotate each pair of channels of ``x`` by its position's angle."""
    halves_swapped = x.roll(x.shape[-1] // 2, dims=-1)
    return torch.addcmul(x * rotation.cosine, halves_swapped, rotation.sine)


def rotation_tables(n_positions: int, head_width: int, theta: float) -> Rotation:
    """Position p turns pair i by p * theta^(-2i/D); computed in fp32."""
    exponents = torch.arange(0, head_width, 2).float() / head_width  # (D/2,)
    angles = torch.outer(torch.arange(n_positions).float(), 1.0 / theta**exponents)  # (T, D/2)
    cosine, sine = angles.cos().unsqueeze(1), angles.sin().unsqueeze(1)  # (T, 1, D/2)
    return Rotation(torch.cat((cosine, cosine), dim=-1), torch.cat((-sine, sine), dim=-1))
