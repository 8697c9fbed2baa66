"""A kernel of our own for a CPU (``towpath.model.kernels.attention``): scores stay in the cache.

For plain attention, causal or not, in fp32.

A causal layer, forward and backward, one core with AVX2, SDPA's kernel / this one, CPU time:

    batch 8, 6 heads of 64, 256 tokens       43 ms    28 ms
    batch 1, 12 heads of 64, 1,024 tokens    125 ms    90 ms

B batch, H query heads, K key-value heads, T queries, S keys, D head dimension.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from towpath.model.backends.case import Backend, Case
from towpath.model.kernels.attention import attention, unavailable

if TYPE_CHECKING:
    from jaxtyping import Float

    from towpath.model.sight import Sight

LEAST_QUERIES = 64
"""Below, one call of SDPA is about as fast."""


def attend(
    q: Float[Tensor, "B H T D"],
    k: Float[Tensor, "B K S D"],
    v: Float[Tensor, "B K S D"],
    sight: Sight,
    dropout: float,
) -> Float[Tensor, "B H T D"]:
    """See ``Attend``."""
    scale = q.shape[-1] ** -0.5 if sight.scale is None else sight.scale
    return attention(q, k, v, sight.causal, scale)[0]


def _refusal(sight: Sight, case: Case) -> str | None:
    if case.device != "cpu":
        return f"it is for a CPU, and this is on {case.device}"
    if case.dtype != torch.float32:
        return f"it takes fp32, not {str(case.dtype).removeprefix('torch.')}"
    if not sight.is_bare:
        return "it takes no mask, bias, pattern or documents"
    if sight.causal and case.n_queries > case.n_keys:
        return "there are more queries than keys"
    if case.dropout:
        return "it drops no attention weights"
    if torch.compiler.is_compiling() or not case.in_memory:
        return "it can't be traced or distributed"
    return unavailable()


def _needless(sight: Sight, case: Case) -> str | None:
    if case.n_queries < LEAST_QUERIES:
        return f"with fewer than {LEAST_QUERIES} queries SDPA is about as fast"
    return None


TILED = Backend("tiled", "a kernel of our own, scores in the cache", _refusal, _needless, attend)
