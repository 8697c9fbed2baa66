"""Attention patterns: the named choices of ``model.attention``.

A pattern says which keys a query sees by their places alone; whether the future is seen, and what
documents and padding hide, is said by ``Sight``. To add one: a module here with its section, whose
``sees`` is the rule and whose ``key_ranges`` names the keys worth looking at, and a line in
``PATTERNS``. Sections start no torch.

D any dimensions, broadcast against each other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from pydantic import Field

from towpath.core.catalogue import Catalogue
from towpath.core.config import Section
from towpath.core.errors import ConfigError

if TYPE_CHECKING:
    import torch
    from jaxtyping import Bool, Int
    from torch import Tensor

PATTERNS = Catalogue(
    "attention pattern",
    {
        "full": "towpath.model.patterns.full:Full",
        "sliding_window": "towpath.model.patterns.sliding_window:SlidingWindow",
        "block_sparse": "towpath.model.patterns.block_sparse:BlockSparse",
        "longformer": "towpath.model.patterns.longformer:Longformer",
        "sinks": "towpath.model.patterns.sinks:Sinks",
    },
    group="towpath.attention_patterns",
)


class Pattern(Section):
    """What every pattern has."""

    type: Any
    full_every: int | None = Field(default=None, ge=1)
    """Every n-th layer sees everything, as in Gemma 3 (arXiv:2503.19786: 6). Left out: none does."""

    @property
    def is_full(self) -> bool:
        """Whether every query sees every key."""
        return False

    def sees(self, query: Int[Tensor, "*#D"], key: Int[Tensor, "*#D"], n_tokens: int) -> Bool[Tensor, "*#D"]:
        """Whether the query at each place sees the key at each place, of ``n_tokens`` tokens.

        Comparisons of its arguments alone, so that a kernel can ask it for one pair at a time.
        """
        raise NotImplementedError

    def rule(self, n_tokens: int, device: torch.device) -> Callable[[Tensor, Tensor], Tensor]:
        """``sees`` for ``n_tokens`` tokens, with whatever it looks up already on ``device``."""
        return lambda query, key: self.sees(query, key, n_tokens)

    def key_ranges(self, first: int, stop: int, n_tokens: int) -> list[tuple[int, int]]:
        """Ranges (first, stop) of the keys that queries ``first`` to ``stop - 1`` may see.

        May hold more than they see, never less; sorted and apart from each other.
        """
        return [(0, n_tokens)]

    def check(self, n_positions: int) -> None:
        """Refuse what makes no sense in a context of ``n_positions`` tokens.

        Raises:
            ConfigError: with both numbers and a value that works.
        """


class WindowPattern(Pattern):
    """What every pattern with a window has."""

    window_tokens: int = Field(default=1024, ge=1)
    """How many tokens a query sees back, itself counted."""

    def check(self, n_positions: int) -> None:
        """See ``Pattern.check``: a window as long as the context hides nothing."""
        if self.window_tokens >= n_positions > 1:
            raise ConfigError(
                f"model.attention.window_tokens = {self.window_tokens} hides nothing in a context of "
                f"model.n_positions = {n_positions}. Try window_tokens = {max(1, n_positions // 4)}, or "
                f'model.attention.type = "full".'
            )


def joined(ranges: Iterable[tuple[int, int]], n_tokens: int) -> list[tuple[int, int]]:
    """``ranges`` within ``n_tokens``, sorted, those that touch made one, empty ones left out."""
    whole: list[tuple[int, int]] = []
    for first, stop in sorted((max(0, first), min(stop, n_tokens)) for first, stop in ranges):
        if first >= stop:
            continue
        if whole and first <= whole[-1][1]:
            whole[-1] = (whole[-1][0], max(stop, whole[-1][1]))
        else:
            whole.append((first, stop))
    return whole


def of_layer(pattern: Pattern | None, layer: int) -> Pattern | None:
    """The pattern of ``layer``, counted from 0. None: full."""
    if pattern is None or pattern.is_full:
        return None
    is_full = pattern.full_every is not None and (layer + 1) % pattern.full_every == 0
    return None if is_full else pattern
