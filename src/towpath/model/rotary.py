"""Rotary position embedding: a position is a rotation of each query and key pair.

Su et al. 2021, arXiv:2104.09864, section 3.2.2, equation 34.
Deviation: pairs are (i, i + D/2), as in Llama and transformers, not (2i, 2i + 1).

B batch, T tokens, H heads, D head dimension, half = D / 2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

if TYPE_CHECKING:
    from jaxtyping import Float


class Rotation(NamedTuple):
    """The angles of T positions, for each row or for all; the sine carries a minus in its left half."""

    cosine: Float[Tensor, "*B T 1 D"]
    sine: Float[Tensor, "*B T 1 D"]


def rotate(x: Float[Tensor, "B T H D"], rotation: Rotation) -> Float[Tensor, "B T H D"]:
    """Rotate each pair of channels of ``x`` by its position's angle."""
    halves_swapped = x.roll(x.shape[-1] // 2, dims=-1)
    return torch.addcmul(x * rotation.cosine, halves_swapped, rotation.sine)


def frequencies(theta: float, head_width: int) -> Float[Tensor, " half"]:
    """Pair i turns by theta^(-2i/D) a token; fp32."""
    exponents = torch.arange(0, head_width, 2).float() / head_width  # (D/2,)
    return 1.0 / theta**exponents


def rotation_tables(
    n_positions: int, frequencies: Float[Tensor, " half"], magnitude: float = 1.0
) -> Rotation:
    """Position p turns pair i by p times its frequency and stretches it by ``magnitude``; fp32."""
    angles = torch.outer(torch.arange(n_positions).float(), frequencies)  # (T, D/2)
    cosine, sine = (angles.cos() * magnitude).unsqueeze(1), (angles.sin() * magnitude).unsqueeze(1)
    return Rotation(torch.cat((cosine, cosine), dim=-1), torch.cat((-sine, sine), dim=-1))
