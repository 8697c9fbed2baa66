"""Longformer: a window, and a few tokens that see all and are seen by all.

Beltagy et al. 2020, arXiv:2004.05150, section 3.1. Deviation: global tokens use the same
projections as the others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from towpath.model.patterns import WindowPattern, joined

if TYPE_CHECKING:
    from jaxtyping import Bool, Int
    from torch import Tensor


class Longformer(WindowPattern):
    """A token sees those fewer than ``window_tokens`` away and the global ones; those see everything."""

    type: Literal["longformer"] = "longformer"
    window_tokens: int = Field(default=256, ge=1)
    """How many tokens a query sees to each side, itself counted; the paper's window is twice that."""
    global_tokens: int = Field(default=1, ge=0)
    """The first so many tokens are global."""
    global_positions: tuple[int, ...] = ()
    """Further global tokens, by position."""

    def sees(self, query: Int[Tensor, "*#D"], key: Int[Tensor, "*#D"], n_tokens: int) -> Bool[Tensor, "*#D"]:
        """See ``Pattern.sees``."""
        near = (query - key).abs() < self.window_tokens
        return near | self._is_global(query) | self._is_global(key)

    def key_ranges(self, first: int, stop: int, n_tokens: int) -> list[tuple[int, int]]:
        """See ``Pattern.key_ranges``."""
        if first < self.global_tokens or any(first <= place < stop for place in self.global_positions):
            return [(0, n_tokens)]
        reach = self.window_tokens - 1
        single = [(place, place + 1) for place in self.global_positions]
        return joined([(0, self.global_tokens), *single, (first - reach, stop + reach)], n_tokens)

    def _is_global(self, place: Tensor) -> Tensor:
        found = place < self.global_tokens
        for position in self.global_positions:
            found = found | (place == position)
        return found
