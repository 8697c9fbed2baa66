"""Sight: which keys a query sees in attention, and what is added to its scores.

B batch, H query heads, T queries, S keys. The queries are the last T of the S tokens.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from towpath.model.patterns import Pattern

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int

    from towpath.model.backends import BackendName


class Part(NamedTuple):
    """Some rows and columns of the scores, by the places of their tokens among all S."""

    queries: Int[Tensor, " T"]
    keys: Int[Tensor, " S"]
    is_whole: bool = False
    """Whether it is all of them."""


@dataclass(frozen=True)
class Sight:
    """What one pass sees: the same for every block that has the same pattern."""

    causal: bool = True
    """A query sees no key after itself."""
    mask: Bool[Tensor, "*B T S"] | None = None
    """True where a query may see a key, with leading dimensions that fit (B, H). None: everywhere."""
    bias: Float[Tensor, "*B T S"] | None = None
    """Added to the scores, with leading dimensions that fit (B, H)."""
    scale: float | None = None
    """What scores are multiplied by. None: 1 / sqrt(D)."""
    pattern: Pattern | None = None
    """Which keys are seen by their place. None: all."""
    documents: Int[Tensor, "B S"] | None = None
    """A number a token; a query sees no key with another number. None: all tokens are of one document."""
    at_distance: Callable[[Tensor], Tensor] | None = None
    """What is added to the score of a key so many tokens after its query, (...) to (H, ...)."""
    backend: BackendName | None = None
    """How attention is to be computed. None: as ``towpath.model.backends.choose`` says."""
    memo: dict[Any, Any] = field(default_factory=dict, init=False, compare=False, repr=False)
    """What a backend worked out for this pass, for the blocks to come."""

    @property
    def is_bare(self) -> bool:
        """Whether nothing but causality hides or changes a score."""
        return (
            self.mask is None
            and self.bias is None
            and self.pattern is None
            and self.documents is None
            and self.at_distance is None
        )

    def is_plain(self, n_queries: int, n_keys: int) -> bool:
        """Whether ``causal`` alone says it all, as a kernel of its own does."""
        return self.is_bare and (not self.causal or n_queries == n_keys)

    def sees_all(self, n_queries: int) -> bool:
        """Whether every query sees every key, with nothing added."""
        return self.is_bare and (not self.causal or n_queries == 1)

    def added(self, q: Tensor, n_keys: int) -> Tensor | None:
        """All of it as one tensor for the scores of ``q`` (B, H, T, D): booleans, or numbers to add."""
        return self.added_to(whole(q.shape[-2], n_keys, q.device), q.dtype, n_keys)

    def added_to(self, part: Part, dtype: torch.dtype, n_keys: int) -> Tensor | None:
        """The same for a part of the scores, which broadcasts to (B, H, T of the part, S of the part)."""
        seen, bias = self._seen(part, n_keys), self._bias(part, n_keys)
        if bias is None or seen is None:
            return seen if bias is None else bias.to(dtype)
        return bias.to(dtype).masked_fill(~seen, -torch.inf)

    def folded(self, n_queries: int, n_keys: int, dtype: torch.dtype, device: torch.device) -> Sight:
        """The same sight with all rules worked out into one mask or bias, to be shared by blocks."""
        if self.is_plain(n_queries, n_keys):
            return self
        return self.folded_to(whole(n_queries, n_keys, device), dtype, n_keys)

    def folded_to(self, part: Part, dtype: torch.dtype, n_keys: int) -> Sight:
        """The same for the queries and keys of a part of the scores, which need not be the last."""
        added = self.added_to(part, dtype, n_keys)
        rest = replace(self, causal=False, pattern=None, documents=None, at_distance=None)
        if added is None or added.dtype == torch.bool:
            return replace(rest, mask=added, bias=None)
        return replace(rest, mask=None, bias=added)

    def _seen(self, part: Part, n_keys: int) -> Bool[Tensor, "*B T S"] | None:
        query, key = part.queries.unsqueeze(1), part.keys  # (T, 1), (S,)
        found = []
        if self.causal and not (part.is_whole and len(part.queries) == 1):
            found.append(key <= query)
        if self.pattern is not None:
            found.append(self.pattern.sees(query, key, n_keys))
        if self.documents is not None:
            of_query, of_key = self.documents[:, part.queries], self.documents[:, part.keys]
            found.append((of_query.unsqueeze(2) == of_key.unsqueeze(1)).unsqueeze(1))  # (B, 1, T, S)
        if self.mask is not None:
            found.append(cut_to(self.mask, part, n_keys))
        if not found:
            return None
        seen = found[0]
        for other in found[1:]:
            seen = seen & other
        return seen

    def _bias(self, part: Part, n_keys: int) -> Float[Tensor, "*B T S"] | None:
        bias = None if self.bias is None else cut_to(self.bias, part, n_keys)
        if self.at_distance is None:
            return bias
        by_distance = self.at_distance(part.keys - part.queries.unsqueeze(1))  # (H, T, S)
        return by_distance if bias is None else bias + by_distance


def whole(n_queries: int, n_keys: int, device: torch.device) -> Part:
    """All scores of ``n_queries`` queries, the last of ``n_keys`` tokens."""
    places = torch.arange(n_keys, device=device)
    return Part(places[n_keys - n_queries :], places, is_whole=True)


def cut_to(given: Tensor, part: Part, n_keys: int) -> Tensor:
    """The rows and columns of ``given`` (..., T or 1, S or 1) that belong to ``part``."""
    if part.is_whole:
        return given
    if given.shape[-1] > 1:
        given = given[..., part.keys]
    if given.shape[-2] > 1:
        given = given[..., part.queries - (n_keys - given.shape[-2]), :]
    return given
