"""``scaled_dot_product_attention``, with a mask where more than causality is asked for.

Torch chooses its kernel: on a CPU one that never holds all scores, unless weights are dropped or a
bias is learned.

B batch, H query heads, K key-value heads, T queries, S keys, D head dimension.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch.nn.functional as F
from torch import Tensor

from towpath.model.backends.case import Backend, never, repeat_heads

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
    n_queries, n_keys = q.shape[2], k.shape[2]
    k, v = repeat_heads(k, q.shape[1]), repeat_heads(v, q.shape[1])
    plain = sight.is_plain(n_queries, n_keys)
    return F.scaled_dot_product_attention(
        *(q, k, v, None if plain else sight.added(q, n_keys)),
        dropout_p=dropout,
        is_causal=plain and sight.causal,
        scale=sight.scale,
    )


SDPA = Backend("sdpa", "torch's own kernels, with a mask where needed", never, never, attend)
