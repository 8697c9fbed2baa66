"""Perplexity and bits per byte on held-out token streams.

Loss is the mean negative log-likelihood of a text token, in nats; perplexity is its exponential;
bits per byte divides the same sum by the bytes of those tokens and by ln 2, so that models with
different tokenizers compare. End-of-document tokens stand for no byte and are not scored. Windows
don't overlap, so the first tokens of each see little context: figures are a little above those of
a sliding window.

A model that was not trained causally is scored by its own objective, on the same examples at every
validation: a masked model by the loss of hidden tokens (a pseudo loss: each is predicted with all
others in view), an encoder-decoder by that of its answers, marks of places and end of text included.
Such figures compare among models of one objective alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from towpath.core.errors import DataError
from towpath.tokenizer import Tokenizer, TokenShards
from towpath.train.batches import IGNORED

if TYPE_CHECKING:
    from towpath.model.language_model import LanguageModel
    from towpath.tokenizer.shards import TokenStream
    from towpath.train.objectives import Examples, ObjectiveConfig


@dataclass(frozen=True)
class Score:
    """How well a model predicts one source. ``nats`` is summed over ``tokens`` tokens of ``bytes`` bytes."""

    nats: float
    tokens: int
    bytes: int

    @property
    def loss(self) -> float:
        """Nats a token."""
        return self.nats / max(1, self.tokens)

    @property
    def perplexity(self) -> float:
        """exp(loss); infinite where that overflows."""
        return math.exp(self.loss) if self.loss < 700 else math.inf

    @property
    def bits_per_byte(self) -> float:
        """Bits a byte of text."""
        return self.nats / math.log(2) / max(1, self.bytes)

    def figures(self) -> dict[str, float]:
        """All of it by name."""
        derived = {"loss": self.loss, "perplexity": self.perplexity, "bits_per_byte": self.bits_per_byte}
        return {**derived, **asdict(self)}


class Perplexity:
    """Scores a model on one split of ``shards``, source by source."""

    def __init__(
        self,
        shards: TokenShards,
        tokenizer: Tokenizer,
        context_tokens: int,
        split: str = "validation",
        objective: ObjectiveConfig | None = None,
    ) -> None:
        """``objective`` None or causal: every token from those before it."""
        self.shards = shards
        self.context_tokens = context_tokens
        self.split = split
        self.text_bytes = tokenizer.text_bytes
        self.examples: Examples | None = None
        if objective is not None and objective.type != "causal":
            self.examples = objective.examples(tokenizer, seed=0)
            self.window_ids = objective.window_ids(context_tokens)
        self.special = np.zeros(tokenizer.vocab_size, dtype=bool)
        self.special[list(tokenizer.special.values())] = True

    def score(
        self,
        model: LanguageModel,
        batch_size: int = 8,
        max_tokens: int | None = None,
        report: Callable[[int], None] = lambda tokens: None,
        around: Callable[[str], AbstractContextManager[None]] = lambda source: nullcontext(),
    ) -> dict[str, Score]:
        """The score of each source, on at most ``max_tokens`` tokens of each.

        ``report`` is told of every batch how many tokens it scored; a source is read inside ``around`` it.

        Raises:
            DataError: the split holds no tokens.
        """
        scores: dict[str, Score] = {}
        for source in self.shards.sources(self.split):
            stream = self.shards.stream(self.split, source)
            with around(source):
                scores[source] = self._score_source(model, stream, (batch_size, max_tokens), report)
        if not any(score.tokens for score in scores.values()):
            raise DataError(
                f"The {self.split} split holds no tokens. Raise data.validation_share or add documents."
            )
        return scores

    def metrics(self, scores: Mapping[str, Score]) -> dict[str, float]:
        """Names and values for the log: each source, and all sources by their weights in the mixture."""
        figures: dict[str, float] = {}
        known = self.shards.weights
        weights = {source: known[source] for source in scores if source in known and scores[source].tokens}
        whole = sum(weights.values())
        for name in ("loss", "bits_per_byte"):
            mean = sum(weights[source] * getattr(scores[source], name) for source in weights)
            figures[f"{self.split}/{name}"] = mean / whole
        for source in weights:
            figures[f"{self.split}/{source}/bits_per_byte"] = scores[source].bits_per_byte
        return figures

    def _score_source(
        self,
        model: LanguageModel,
        stream: TokenStream,
        limits: tuple[int, int | None],
        report: Callable[[int], None],
    ) -> Score:
        """``limits``: windows in one forward pass, and most tokens."""
        if self.examples is None:
            return self._score_batches(model, self._batches(stream, *limits), report)
        return self._score_examples(model, self._windows(stream, *limits), report, self.examples)

    def _score_examples(
        self,
        model: LanguageModel,
        windows: Iterable[tuple[int, NDArray[np.int64]]],
        report: Callable[[int], None],
        examples: Examples,
    ) -> Score:
        nats, tokens, n_bytes = 0.0, 0, 0
        device = next(model.parameters()).device
        for first, ids in windows:
            arrays = examples.arrays(ids, range(first, first + len(ids)))
            with torch.no_grad():
                tensors = {name: torch.from_numpy(value).to(device) for name, value in arrays.items()}
                nats += float(model(**tensors, loss_tokens=1).loss)
            targets = arrays["labels"][arrays["labels"] != IGNORED]
            tokens += len(targets)
            n_bytes += int(self.text_bytes[targets].sum())
            report(len(targets))
        return Score(nats, tokens, n_bytes)

    def _windows(
        self, stream: TokenStream, batch_size: int, max_tokens: int | None
    ) -> Iterator[tuple[int, NDArray[np.int64]]]:
        """Windows that don't overlap, stacked, with the number of the first; the rest at the end, alone."""
        size = self.window_ids
        end = stream.n_tokens if max_tokens is None else min(stream.n_tokens, max_tokens)
        full = end // size
        for first in range(0, full, batch_size):
            rows = range(first, min(first + batch_size, full))
            yield first, np.stack([stream.read(row * size, (row + 1) * size) for row in rows])
        if end - full * size > 1:
            yield full, stream.read(full * size, end)[None, :]

    def _score_batches(
        self, model: LanguageModel, batches: Iterable[NDArray[np.int64]], report: Callable[[int], None]
    ) -> Score:
        nats, tokens, n_bytes = 0.0, 0, 0
        device = next(model.parameters()).device
        for ids in batches:
            text = ~self.special[ids]
            text[:, 0] = False  # the first token of a window is given, not predicted
            count = int(text.sum())
            if count == 0:
                continue
            labels = torch.from_numpy(np.where(text, ids, IGNORED)).to(device)
            with torch.no_grad():
                loss = model(torch.from_numpy(ids).to(device), labels, loss_tokens=1).loss
            nats += float(loss)
            tokens += count
            n_bytes += int(self.text_bytes[ids][text].sum())
            report(count)
        return Score(nats, tokens, n_bytes)

    def _batches(
        self, stream: TokenStream, batch_size: int, max_tokens: int | None
    ) -> Iterator[NDArray[np.int64]]:
        """Windows of one token more than the context, stacked; what is left at the end, alone."""
        size = self.context_tokens
        end = stream.n_tokens if max_tokens is None else min(stream.n_tokens, max_tokens + 1)
        full = max(0, end - 1) // size
        for first in range(0, full, batch_size):
            rows = range(first, min(first + batch_size, full))
            yield np.stack([stream.read(row * size, row * size + size + 1) for row in rows])
        if end - full * size > 1:
            yield stream.read(full * size, end)[None, :]
