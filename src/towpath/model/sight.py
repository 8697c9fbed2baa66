"""Sight: which keys a query sees in attention, and what is added to its scores.

B batch, H query heads, T queries, S keys. The queries are the last T of the S tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from jaxtyping import Bool, Float


@dataclass(frozen=True)
class Sight:
    """The same for every block of a pass."""

    causal: bool = True
    """A query sees no key after itself."""
    mask: Bool[Tensor, "*B T S"] | None = None
    """True where a query may see a key, with leading dimensions that fit (B, H). None: everywhere."""
    bias: Float[Tensor, "*B T S"] | None = None
    """Added to the scores, with leading dimensions that fit (B, H)."""
    scale: float | None = None
    """What scores are multiplied by. None: 1 / sqrt(D)."""

    def is_plain(self, n_queries: int, n_keys: int) -> bool:
        """Whether ``causal`` alone says it all, as a kernel of its own does."""
        return self.mask is None and self.bias is None and (not self.causal or n_queries == n_keys)

    def sees_all(self, n_queries: int) -> bool:
        """Whether every query sees every key, with nothing added."""
        return self.mask is None and self.bias is None and (not self.causal or n_queries == 1)

    def added(self, q: Tensor, n_keys: int) -> Tensor | None:
        """All of it as one tensor for the scores of ``q`` (B, H, T, D): booleans, or numbers to add."""
        seen = self.mask
        n_queries = q.shape[-2]
        if self.causal and n_queries > 1:
            positions = torch.arange(n_keys, device=q.device)
            past = positions <= positions[n_keys - n_queries :].unsqueeze(1)  # (T, S)
            seen = past if seen is None else seen & past
        if self.bias is None or seen is None:
            return seen if self.bias is None else self.bias.to(q.dtype)
        return self.bias.to(q.dtype).masked_fill(~seen, -torch.inf)
