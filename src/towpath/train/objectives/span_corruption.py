"""Span corruption: spans of a text are cut out and written down, each after the mark of its place.

Raffel et al. 2020, arXiv:1910.10683, sections 3.1.4 and 3.3.4; the spans are drawn by the released
code's ``random_spans_noise_mask``: as many tokens and spans in every window, cut at random places,
the first stretch being text that stays. Its ``sentinels`` are special tokens: <extra_id_0> has the
highest id of the tokenizer, <extra_id_1> the one below, as in the released vocabulary.

B windows, L ids in a window.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from towpath.core.errors import ConfigError
from towpath.train.objectives import ObjectiveConfig
from towpath.train.objectives.drawing import generator

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from towpath.tokenizer import Tokenizer


class SpanCorruptionConfig(ObjectiveConfig):
    """Spans that were cut out of a text, from what is left of it (Raffel et al. 2020)."""

    families = ("encoder-decoder",)
    type: Literal["span_corruption"] = "span_corruption"
    rate: float = Field(default=0.15, gt=0, lt=1)
    """Share of a window's tokens that is cut out."""
    mean_span_tokens: float = Field(default=3.0, ge=1)
    """Mean length of what is cut out at one place."""
    sentinels: int = Field(default=100, ge=1, le=10_000)
    """Marks of places that the vocabulary keeps; no window can have more spans."""

    @property
    def special_tokens(self) -> Sequence[str]:
        """See ``ObjectiveConfig.special_tokens``."""
        return [sentinel(i) for i in reversed(range(self.sentinels))]

    def window_ids(self, context_tokens: int) -> int:
        """See ``ObjectiveConfig.window_ids``: as many as fit once spans have become one mark each.

        568 for a context of 512, as in the released code.
        """
        window = context_tokens
        while max(_sizes(self, window + 1)) <= context_tokens:
            window += 1
        while window > 1 and max(_sizes(self, window)) > context_tokens:
            window -= 1
        if window < 2:
            raise ConfigError(
                f"model.n_positions = {context_tokens} holds no text with a span cut out. Try 128."
            )
        _, n_spans = _noise(self, window)
        if n_spans > self.sentinels:
            raise ConfigError(
                f"A window of {window} tokens has {n_spans} spans, but train.objective.sentinels = "
                f"{self.sentinels}. Try sentinels = {n_spans}, or mean_span_tokens = "
                f"{-(-round(window * self.rate) // self.sentinels)}."
            )
        return window

    def examples(self, tokenizer: Tokenizer, seed: int) -> SpanExamples:
        """See ``ObjectiveConfig.examples``."""
        return SpanExamples(tokenizer, self, seed)


class SpanExamples:
    """Windows with spans cut out; all of a length have as many, so nothing is padded."""

    def __init__(self, tokenizer: Tokenizer, config: SpanCorruptionConfig, seed: int) -> None:
        self.config, self.seed = config, seed
        self.end = tokenizer.end_of_text
        self.sentinels = np.array([tokenizer.special[sentinel(i)] for i in range(config.sentinels)])

    def arrays(self, ids: NDArray[np.int64], indices: Sequence[int]) -> dict[str, NDArray[np.int64]]:
        """See ``Examples.arrays``."""
        masks = [self._noise_mask(ids.shape[1], index) for index in indices]
        return {
            "input_ids": np.stack([self._marked(row, cut) for row, cut in zip(ids, masks, strict=True)]),
            "labels": np.stack([self._answer(row, cut) for row, cut in zip(ids, masks, strict=True)]),
        }

    def targets(self, index: int, n_ids: int) -> int:
        """See ``Examples.targets``."""
        return _sizes(self.config, n_ids)[1]

    def _noise_mask(self, n_ids: int, index: int) -> NDArray[np.bool_]:
        return noise_mask(n_ids, *_noise(self.config, n_ids), generator(self.seed, "spans", index))

    def _marked(self, ids: NDArray[np.int64], cut: NDArray[np.bool_]) -> NDArray[np.int64]:
        """``ids`` with one sentinel for each stretch that is ``cut``, and the end of text."""
        first = cut & ~np.concatenate(([False], cut[:-1]))
        marked = np.where(first, self.sentinels[np.maximum(np.cumsum(first) - 1, 0)], ids)
        return np.append(marked[first | ~cut], self.end)

    def _answer(self, ids: NDArray[np.int64], cut: NDArray[np.bool_]) -> NDArray[np.int64]:
        """What is ``cut``, a sentinel before each stretch, and the end of text."""
        return self._marked(ids, ~cut)


def sentinel(number: int) -> str:
    """Name of the special token for the place of span ``number``, as T5 has it."""
    return f"<extra_id_{number}>"


def noise_mask(n_ids: int, n_noise: int, n_spans: int, random: np.random.Generator) -> NDArray[np.bool_]:
    """True (L,) at ``n_noise`` tokens in ``n_spans`` spans; the first token is never one of them."""
    noise = _segments(n_noise, n_spans, random)
    text = _segments(n_ids - n_noise, n_spans, random)
    lengths = np.stack((text, noise), axis=1).reshape(-1)  # text, noise, text, noise …
    return np.repeat(np.arange(2 * n_spans) % 2 == 1, lengths)


def _segments(n_items: int, n_segments: int, random: np.random.Generator) -> NDArray[np.int64]:
    """Lengths of ``n_segments`` parts of ``n_items``, none empty; all ways to cut are equally likely."""
    cuts = np.sort(random.choice(n_items - 1, n_segments - 1, replace=False) + 1)
    return np.diff(cuts, prepend=0, append=n_items)


def _noise(config: SpanCorruptionConfig, n_ids: int) -> tuple[int, int]:
    """How many tokens are cut out of ``n_ids``, and in how many spans."""
    n_noise = min(max(round(n_ids * config.rate), 1), n_ids - 1)
    n_spans = max(round(n_noise / config.mean_span_tokens), 1)
    return n_noise, min(n_spans, n_noise, n_ids - n_noise)


def _sizes(config: SpanCorruptionConfig, n_ids: int) -> tuple[int, int]:
    """Tokens of the text with its marks, and of the answer; each with an end of text."""
    n_noise, n_spans = _noise(config, n_ids)
    return n_ids - n_noise + n_spans + 1, n_noise + n_spans + 1
