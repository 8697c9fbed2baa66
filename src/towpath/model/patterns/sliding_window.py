"""Sliding window: a query sees the keys near it (Beltagy et al. 2020, arXiv:2004.05150, section 3.1).

Causal, it sees ``window_tokens`` keys, itself the last, as in Mistral and transformers'
``sliding_window``; else as many after it as before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from towpath.model.patterns import Pattern, joined

if TYPE_CHECKING:
    from jaxtyping import Bool, Int
    from torch import Tensor


class SlidingWindow(Pattern):
    """A token sees itself and those fewer than ``window_tokens`` away."""

    type: Literal["sliding_window"] = "sliding_window"
    window_tokens: int = Field(default=1024, ge=1)
    """How many tokens a query sees back, itself counted."""

    def sees(self, query: Int[Tensor, "*#D"], key: Int[Tensor, "*#D"], n_tokens: int) -> Bool[Tensor, "*#D"]:
        """See ``Pattern.sees``."""
        return (query - key).abs() < self.window_tokens

    def key_ranges(self, first: int, stop: int, n_tokens: int) -> list[tuple[int, int]]:
        """See ``Pattern.key_ranges``."""
        reach = self.window_tokens - 1
        return joined([(first - reach, stop + reach)], n_tokens)
