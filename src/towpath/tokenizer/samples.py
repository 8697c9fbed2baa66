"""Samples: the windows of tokens that a model is trained on, by index, and where each came from.

Comes in: TokenShards, a split, a context length and a seed. Goes out: for any sample index the ids
of its window, and the documents and byte ranges that they are. Window k of a source covers its
tokens k * T to (k + 1) * T, both included: T inputs and, one further, T targets. What is left at the
end of a stream, less than T + 1 tokens, is in no window.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from towpath.core.errors import ConfigError
from towpath.tokenizer.order import Draw, Mixture
from towpath.tokenizer.phases import PhasedMixture
from towpath.tokenizer.shards import TokenShards
from towpath.tokenizer.tokenizer import Tokenizer

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of a window that comes from one document."""

    document_id: str
    source: str
    tokens: tuple[int, int]
    """First and one past the last, counted in the window; an <|endoftext|> is a token of 0 bytes."""
    bytes: tuple[int, int]
    """The same in bytes of the document's text in UTF-8; either may be inside a character."""


class Samples:
    """Windows of ``context_tokens`` + 1 ids, for any sample index from 0 up.

    Sources are mixed by ``weights``, or by those of the shards when None; one without a weight is
    never drawn. Which window an index means depends on seed, sizes and weights alone; see ``Mixture``.
    """

    def __init__(
        self,
        shards: TokenShards,
        split: str,
        context_tokens: int,
        seed: int,
        weights: Mapping[str, float] | None = None,
    ) -> None:
        self.context_tokens = context_tokens
        self._streams = {source: shards.stream(split, source) for source in shards.sources(split)}
        self.sizes: dict[str, int] = {
            source: max(stream.n_tokens - 1, 0) // context_tokens for source, stream in self._streams.items()
        }
        """Windows in each source."""
        chosen = shards.weights if weights is None else weights
        self._check_long_enough(chosen)
        self.mixture: Mixture | PhasedMixture = Mixture(
            self.sizes, {source: chosen.get(source, 0.0) for source in self.sizes}, seed
        )
        self._shards = shards

    def _check_long_enough(self, weights: Mapping[str, float]) -> None:
        for source, windows in self.sizes.items():
            n_tokens = self._streams[source].n_tokens
            if weights.get(source, 0.0) > 0 and windows < 1:
                raise ConfigError(
                    f"The source {source!r} has {n_tokens:,} tokens to learn from, less than one window of "
                    f"{self.context_tokens + 1:,}. Give it more text, or the weight 0, or try "
                    f"model.n_positions = {max(1, n_tokens - 1)}."
                )

    @property
    def tokenizer(self) -> Tokenizer:
        """What the ids are of."""
        return self._shards.tokenizer

    def mixed(self, mixture: Mixture | PhasedMixture) -> Samples:
        """The same windows, drawn by another ``mixture``."""
        other = copy.copy(self)
        other.mixture = mixture
        return other

    @property
    def sources(self) -> list[str]:
        """The sources that are drawn."""
        return [source for source, slots in self.mixture.slots.items() if slots]

    def draw(self, index: int) -> Draw:
        """Which source, epoch and window sample ``index`` is."""
        return self.mixture[index]

    def ids(self, index: int) -> NDArray[np.int64]:
        """The ids of sample ``index``, shape (context_tokens + 1,)."""
        draw = self.mixture[index]
        return self._streams[draw.source].read(*self._token_range(draw.window))

    def provenance(self, index: int) -> list[Span]:
        """Where the ids of sample ``index`` come from; the spans follow each other without a gap."""
        draw = self.mixture[index]
        stream = self._streams[draw.source]
        start, stop = self._token_range(draw.window)
        spans: list[Span] = []
        position = start
        while position < stop:
            place = stream.document_at(position)
            end = min(stop, stream.document_range(place.ordinal)[1])
            before = self._bytes_of(stream.read(place.start_token, position))
            inside = self._bytes_of(stream.read(position, end))
            tokens = (position - start, end - start)
            spans.append(Span(place.document_id, draw.source, tokens, (before, before + inside)))
            position = end
        return spans

    def document_tokens(self, index: int) -> float:
        """Tokens of the document that a token of sample ``index`` belongs to, on average."""
        draw = self.mixture[index]
        stream = self._streams[draw.source]
        start, stop = self._token_range(draw.window)
        total, position = 0, start
        while position < stop:
            first, last = stream.document_range(stream.document_at(position).ordinal)
            end = min(stop, last)
            total += (end - position) * (last - first)
            position = end
        return total / (stop - start)

    def _token_range(self, window: int) -> tuple[int, int]:
        start = window * self.context_tokens
        return start, start + self.context_tokens + 1

    def _bytes_of(self, ids: NDArray[np.int64]) -> int:
        return int(self._shards.tokenizer.text_bytes[ids].sum())
