"""What a backend is judged by: sizes, device and type of one call of attention.

B batch, H query heads, K key-value heads, T queries, S keys, D head dimension.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from jaxtyping import Float

    from towpath.model.sight import Sight

_PLAIN = (Tensor, nn.Parameter)


@dataclass(frozen=True)
class Case:
    """One call of attention."""

    n_queries: int
    n_keys: int
    device: str = "cpu"
    """``torch.device.type``."""
    dtype: torch.dtype = torch.float32
    dropout: float = 0.0
    differentiated: bool = False
    """Whether a backward pass may follow."""
    in_memory: bool = True
    """Whether these are plain tensors; traced and distributed ones have no numbers to point at."""

    @classmethod
    def of(cls, q: Tensor, k: Tensor, dropout: float) -> Case:
        """The case of queries (B, H, T, D) and keys (B, K, S, D)."""
        differentiated = torch.is_grad_enabled() and (q.requires_grad or k.requires_grad)
        in_memory = type(q) in _PLAIN and type(k) in _PLAIN
        return cls(q.shape[2], k.shape[2], q.device.type, q.dtype, dropout, differentiated, in_memory)


class Verdict(Protocol):
    """Why not; None: nothing speaks against it."""

    def __call__(self, sight: Sight, case: Case) -> str | None:
        """A reason, without a full stop."""
        ...


class Attend(Protocol):
    """What queries gather. H is a multiple of K and each key-value head serves H / K query heads."""

    def __call__(
        self,
        q: Float[Tensor, "B H T D"],
        k: Float[Tensor, "B K S D"],
        v: Float[Tensor, "B K S D"],
        sight: Sight,
        dropout: float,
    ) -> Float[Tensor, "B H T D"]:
        """``dropout``: share of attention weights that is dropped."""
        ...


@dataclass(frozen=True)
class Backend:
    """One way to compute attention."""

    name: str
    what: str
    """What it is good for, in a few words."""
    refusal: Verdict
    """Why it can't run."""
    needless: Verdict
    """Why one further down the table is better, though this one can run."""
    run: Attend


def never(sight: Sight, case: Case) -> str | None:
    """Nothing speaks against it."""
    return None


def repeat_heads(x: Float[Tensor, "B K S D"], n_head: int) -> Float[Tensor, "B H S D"]:
    """Each key-value head once for every query head that it serves."""
    batch, n_kv_head, n_tokens, width = x.shape
    if n_kv_head == n_head:
        return x
    each = n_head // n_kv_head
    return x.unsqueeze(2).expand(batch, n_kv_head, each, n_tokens, width).flatten(1, 2)
