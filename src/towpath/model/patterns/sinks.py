"""Attention sinks: the first tokens and a window (Xiao et al. 2023, arXiv:2309.17453, section 3.2).

Heads that look for nothing put their weight on the first tokens. A model that keeps them can go on
writing beyond its context: ``towpath.model.endless``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from towpath.model.patterns import WindowPattern, joined

if TYPE_CHECKING:
    from jaxtyping import Bool, Int
    from torch import Tensor


class Sinks(WindowPattern):
    """A token sees the first ``sink_tokens`` and those fewer than ``window_tokens`` away."""

    type: Literal["sinks"] = "sinks"
    sink_tokens: int = Field(default=4, ge=0)
    """First tokens that all others see; 4 in the paper."""

    def sees(self, query: Int[Tensor, "*#D"], key: Int[Tensor, "*#D"], n_tokens: int) -> Bool[Tensor, "*#D"]:
        """See ``Pattern.sees``."""
        return ((query - key).abs() < self.window_tokens) | (key < self.sink_tokens)

    def key_ranges(self, first: int, stop: int, n_tokens: int) -> list[tuple[int, int]]:
        """See ``Pattern.key_ranges``."""
        reach = self.window_tokens - 1
        return joined([(0, self.sink_tokens), (first - reach, stop + reach)], n_tokens)
