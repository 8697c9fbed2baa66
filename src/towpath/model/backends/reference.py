"""The formula itself: softmax of scaled scores, times values. What all others are tested against.

Vaswani et al. 2017, arXiv:1706.03762, equation 1. Holds all scores several times over.

B batch, H query heads, K key-value heads, T queries, S keys, D head dimension.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from towpath.model.backends.case import Backend, Case, never, repeat_heads

if TYPE_CHECKING:
    from jaxtyping import Float

    from towpath.model.sight import Sight


def attend(
    q: Float[Tensor, "B H T D"],
    k: Float[Tensor, "B K S D"],
    v: Float[Tensor, "B K S D"],
    sight: Sight,
    dropout: float,
) -> Float[Tensor, "B H T D"]:
    """See ``Attend``."""
    k, v = repeat_heads(k, q.shape[1]), repeat_heads(v, q.shape[1])
    scale = q.shape[-1] ** -0.5 if sight.scale is None else sight.scale
    scores = q @ k.mT * scale  # (B, H, T, S)
    added = sight.added(q, k.shape[2])
    if added is not None:
        scores = scores.masked_fill(~added, -torch.inf) if added.dtype == torch.bool else scores + added
    return F.dropout(scores.softmax(-1), dropout) @ v


def _needless(sight: Sight, case: Case) -> str | None:
    return "it is the slowest, for tests"


REFERENCE = Backend("reference", "the plain formula", never, _needless, attend)
