"""Sliding window: a query sees the keys near it (Beltagy et al. 2020, arXiv:2004.05150, section 3.1).

Causal, it sees ``window_tokens`` keys, itself the last, as in Mistral and transformers'
``sliding_window``; else as many after it as before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from towpath.model.patterns import WindowPattern, joined

if TYPE_CHECKING:
    from jaxtyping import Bool, Int
    from torch import Tensor


class SlidingWindow(WindowPattern):
    """A token sees itself and those fewer than ``window_tokens`` away."""

    type: Literal["sliding_window"] = "sliding_window"

    def sees(self, query: Int[Tensor, "*#D"], key: Int[Tensor, "*#D"], n_tokens: int) -> Bool[Tensor, "*#D"]:
        """See ``Pattern.sees``."""
        return (query - key).abs() < self.window_tokens

    def key_ranges(self, first: int, stop: int, n_tokens: int) -> list[tuple[int, int]]:
        """See ``Pattern.key_ranges``."""
        reach = self.window_tokens - 1
        return joined([(first - reach, stop + reach)], n_tokens)
