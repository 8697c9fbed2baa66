"""Self-attention with any number of key-value heads, computed by one of ``towpath.model.backends``.

Vaswani et al. 2017, arXiv:1706.03762, section 3.2; grouped queries: Ainslie et al. 2023,
arXiv:2305.13245; normalised queries and keys: Henry et al. 2020, arXiv:2010.04245, with the learned
scale of Qwen3. Queries, keys and values come from one matrix: one product instead of three.

B batch, T new tokens, S tokens so far with the new ones, C width, H query heads, K key-value
heads, D head dimension.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch.nn.functional as F
from torch import Tensor, nn

from towpath.model.backends import choose, named
from towpath.model.backends.case import Case
from towpath.model.cache import KeyValueCache
from towpath.model.elsewhere import Elsewhere
from towpath.model.linear import FusedLinear
from towpath.model.norms import RMSNorm
from towpath.model.rotary import Rotation, rotate
from towpath.model.sight import Sight

if TYPE_CHECKING:
    from jaxtyping import Float


@dataclass(frozen=True)
class Placement:
    """Where the tokens of one pass stand and what they see: the same for every block."""

    sight: Sight
    """What each new token sees of those so far."""
    rotation: Rotation | None = None
    """Angles of the new tokens, for layouts with rotary positions."""
    cache: KeyValueCache | Elsewhere | None = None
    """Keys and values of the tokens before the new ones, or of all that lie elsewhere."""
    sights: Sequence[Sight] | None = None
    """The sight of each layer, where layers differ. None: ``sight`` for all."""
    key_rotation: Rotation | None = None
    """Angles of all keys of a cache that keeps them unturned. None: it keeps them turned."""

    def sight_of(self, layer: int) -> Sight:
        """What each new token sees in ``layer``."""
        return self.sight if self.sights is None else self.sights[layer]


@dataclass(frozen=True)
class HeadShape:
    """The sizes of an attention layer."""

    n_embd: int
    n_head: int
    n_kv_head: int
    head_width: int


class Attention(nn.Module):
    """Every token gathers values from the tokens that it sees."""

    def __init__(
        self, shape: HeadShape, *, bias: bool, dropout: float = 0.0, norm_epsilon: float | None = None
    ) -> None:
        """``norm_epsilon``: normalise queries and keys with this epsilon; None does not."""
        super().__init__()
        self.shape, self.dropout = shape, dropout
        queries, keys = shape.n_head * shape.head_width, shape.n_kv_head * shape.head_width
        self.qkv = FusedLinear(shape.n_embd, (queries, keys, keys), bias=bias)
        self.out = nn.Linear(queries, shape.n_embd, bias=bias)
        self.query_norm = None if norm_epsilon is None else RMSNorm(shape.head_width, norm_epsilon)
        self.key_norm = None if norm_epsilon is None else RMSNorm(shape.head_width, norm_epsilon)

    def forward(self, x: Float[Tensor, "B T C"], place: Placement, layer: int) -> Float[Tensor, "B T C"]:
        """What each token of ``x`` gathers; ``layer`` says which part of the cache is this one's."""
        q, k, v = (part.unflatten(-1, (-1, self.shape.head_width)) for part in self.qkv.parts(x))
        if self.query_norm is not None and self.key_norm is not None:
            q, k = self.query_norm(q), self.key_norm(k)  # (B, T, H, D), (B, T, K, D)
        if place.rotation is not None:
            q = rotate(q, place.rotation)
            k = rotate(k, place.rotation) if place.key_rotation is None else k
        q, k, v = q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)
        if place.cache is not None:
            k, v = place.cache.append(layer, k, v)  # (B, K, S, D)
        if place.key_rotation is not None:
            k = rotate(k.transpose(1, 2), place.key_rotation).transpose(1, 2)
        gathered = attend(q, k, v, place.sight_of(layer), self.dropout if self.training else 0.0)
        return self.out(gathered.transpose(1, 2).flatten(2))


def attend(
    q: Float[Tensor, "B H T D"],
    k: Float[Tensor, "B K S D"],
    v: Float[Tensor, "B K S D"],
    sight: Sight,
    dropout: float,
) -> Float[Tensor, "B H T D"]:
    """What queries gather; H is a multiple of K and each key-value head serves H / K query heads."""
    q, k = q.to(v.dtype), k.to(v.dtype)  # norms and rotation leave autocast's type, a product gives it
    batch, n_head, n_tokens, width = q.shape
    if n_tokens == 1 and sight.sees_all(1):  # the heads of a group become its queries, nothing is copied
        grouped = q.reshape(batch, k.shape[1], -1, width)  # (B, K, H/K, D)
        gathered = F.scaled_dot_product_attention(grouped, k, v, dropout_p=dropout, scale=sight.scale)
        return gathered.reshape(batch, n_head, 1, width)
    choice = choose(sight, Case.of(q, k, dropout))
    return named(choice.name).run(q, k, v, sight, dropout)
