"""Positions that are added to scores and depend on the distance of key and query alone.

H query heads, D any dimensions.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from towpath.model.positions.alibi import alibi_slopes
from towpath.model.positions.base import Positions

if TYPE_CHECKING:
    from jaxtyping import Float, Int


class AlibiPositions(Positions):
    """Minus slope times distance; before and after alike, for bidirectional attention."""

    biases_scores = True
    slopes: Tensor

    def __init__(self, n_head: int) -> None:
        super().__init__()
        self.register_buffer("slopes", torch.empty(n_head), persistent=False)

    def fill_(self) -> None:
        """Set the slopes; see ``Positions.fill_``."""
        self.slopes.copy_(torch.tensor(alibi_slopes(len(self.slopes))))

    def at_distance(self, distance: Int[Tensor, "*D"]) -> Float[Tensor, " H *D"]:
        """See ``Positions.at_distance``."""
        return self.slopes.view(-1, *[1] * distance.dim()) * -distance.abs()


class RelativeBias(Positions):
    """T5's: one learned number a head for each bucket of distances."""

    biases_scores = True

    def __init__(self, n_head: int, n_buckets: int, max_distance: int, *, bidirectional: bool) -> None:
        super().__init__()
        self.max_distance, self.bidirectional = max_distance, bidirectional
        self.weight = nn.Parameter(torch.empty(n_buckets, n_head))

    def at_distance(self, distance: Int[Tensor, "*D"]) -> Float[Tensor, " H *D"]:
        """See ``Positions.at_distance``."""
        buckets = relative_buckets(
            distance, self.weight.shape[0], self.max_distance, bidirectional=self.bidirectional
        )
        return self.weight[buckets].movedim(-1, 0)


def relative_buckets(
    distance: Int[Tensor, "*D"], n_buckets: int, max_distance: int, *, bidirectional: bool
) -> Int[Tensor, "*D"]:
    """Bucket of each distance (key minus query): the first half exact, then logarithmic.

    Bidirectional: the upper half of the buckets is for keys after their query. Else those count as
    distance 0, since nothing sees them.
    """
    offset = torch.zeros_like(distance)
    if bidirectional:
        n_buckets //= 2
        offset, distance = (distance > 0).long() * n_buckets, distance.abs()
    else:
        distance = (-distance).clamp(min=0)
    exact = n_buckets // 2
    ratio = torch.log(distance.clamp(min=1).float() / exact) / math.log(max_distance / exact)
    wide = (exact + (ratio * (n_buckets - exact)).long()).clamp(max=n_buckets - 1)
    return offset + torch.where(distance < exact, distance, wide)
