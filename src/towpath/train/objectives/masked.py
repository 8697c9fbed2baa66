"""Masked language modelling: hidden tokens, from all that stands around them.

Devlin et al. 2019, arXiv:1810.04805, section 3.1; whole words as in the released code of May 2019:
words in random order are hidden while they fit into the number of tokens to be hidden. Deviations:
windows of running text without [CLS] and [SEP] (Liu et al. 2019, arXiv:1907.11692, section 4.2,
FULL-SENTENCES); where no whole word fits any more, the beginning of one is hidden, so that every
window has the same number of targets and ranks need not ask each other.

B windows, L ids in a window, W words, N hidden tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from towpath.core.errors import ConfigError
from towpath.train.objectives import ObjectiveConfig
from towpath.train.objectives.drawing import IGNORED, generator

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from towpath.tokenizer import Tokenizer

MASK = "<|mask|>"
"""Name of the special token that stands for a hidden one."""
_MASKED, _RANDOM = 0.8, 0.1
"""Devlin et al. 2019, section 3.1: shares of hidden tokens that are masked, and replaced; the rest stay."""


class MaskedConfig(ObjectiveConfig):
    """Hidden tokens, from all that stands around them (Devlin et al. 2019)."""

    families = ("encoder",)
    type: Literal["masked"] = "masked"
    rate: float = Field(default=0.15, gt=0, lt=1)
    """Share of a window's tokens that is to be predicted."""
    whole_words: bool = True
    """Hide all tokens of a word, or none."""

    @property
    def special_tokens(self) -> Sequence[str]:
        """See ``ObjectiveConfig.special_tokens``."""
        return (MASK,)

    def window_ids(self, context_tokens: int) -> int:
        """See ``ObjectiveConfig.window_ids``."""
        if context_tokens < 2:
            raise ConfigError(
                f"model.n_positions = {context_tokens} leaves nothing to see beside a hidden token. Try 128."
            )
        return context_tokens

    def examples(self, tokenizer: Tokenizer, seed: int) -> MaskedExamples:
        """See ``ObjectiveConfig.examples``."""
        return MaskedExamples(tokenizer, self, seed)


class MaskedExamples:
    """Windows in which some tokens are hidden."""

    def __init__(self, tokenizer: Tokenizer, config: MaskedConfig, seed: int) -> None:
        self.config, self.seed = config, seed
        self.mask = tokenizer.special[MASK]
        self.special = np.zeros(tokenizer.vocab_size, dtype=bool)
        self.special[list(tokenizer.special.values())] = True
        self.text_ids = np.flatnonzero(~self.special)
        self.opens, self.closes = word_ends(tokenizer)

    def arrays(self, ids: NDArray[np.int64], indices: Sequence[int]) -> dict[str, NDArray[np.int64]]:
        """See ``Examples.arrays``."""
        rows = [self._row(row, index) for row, index in zip(ids, indices, strict=True)]
        inputs, labels = zip(*rows, strict=True)
        return {"input_ids": np.stack(inputs), "labels": np.stack(labels)}

    def targets(self, index: int, n_ids: int) -> int:
        """See ``Examples.targets``."""
        return max(1, round(self.config.rate * n_ids))

    def words(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Number of the word that each token of ``ids`` (L,) belongs to."""
        if not self.config.whole_words:
            return np.arange(len(ids))
        goes_on = np.zeros(len(ids), dtype=bool)
        goes_on[1:] = ~self.opens[ids[1:]] & ~self.closes[ids[:-1]]
        return np.cumsum(~goes_on) - 1

    def _row(self, ids: NDArray[np.int64], index: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        random = generator(self.seed, "masked", index)
        places = self._hidden(ids, random)
        fate = random.random(len(places))
        other = self.text_ids[random.integers(0, len(self.text_ids), len(places))]
        shown = np.where(fate < _MASKED, self.mask, np.where(fate < _MASKED + _RANDOM, other, ids[places]))
        inputs, labels = ids.copy(), np.full_like(ids, IGNORED)
        inputs[places], labels[places] = shown, ids[places]
        return inputs, labels

    def _hidden(self, ids: NDArray[np.int64], random: np.random.Generator) -> NDArray[np.int64]:
        """Places (N,) of the tokens to be predicted; special tokens only where nothing else is left."""
        word = self.words(ids)
        starts = np.flatnonzero(np.diff(word, prepend=-1))  # (W,)
        sizes = np.diff(starts, append=len(ids))
        order = random.permutation(len(starts))
        is_special = self.special[ids[starts[order]]]
        room, places = self.targets(0, len(ids)), []
        for group in (order[~is_special], order[is_special]):
            chosen = first_that_fit(sizes[group], room)
            places += [starts[group[place]] + np.arange(size) for place, size in chosen]
            room -= sum(size for _, size in chosen)
        return np.concatenate(places)


def first_that_fit(sizes: NDArray[np.int64], room: int) -> list[tuple[int, int]]:
    """Places and sizes of those of ``sizes`` that fit into ``room``, in order; then a part to fill it."""
    chosen: list[tuple[int, int]] = []
    left_out: int | None = None
    for place, size in enumerate(sizes.tolist()):
        if size <= room:
            chosen.append((place, size))
            room -= size
        elif left_out is None:
            left_out = place
        if room == 0:
            break
    if room and left_out is not None:
        chosen.append((left_out, room))
    return chosen


def word_ends(tokenizer: Tokenizer) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which ids can't go on a word, and which no other id can go on, by their bytes, (vocabulary,) each.

    A word is a run of letters, digits and bytes beyond ASCII; a space before it belongs to it.
    """
    special = set(tokenizer.special.values())
    tokens = [b"" if i in special else _bytes_of(tokenizer, i) for i in range(tokenizer.vocab_size)]
    opens = np.array([not token or not _in_word(token[0]) for token in tokens])
    closes = np.array([not token or not _in_word(token[-1]) for token in tokens])
    return opens, closes


def _bytes_of(tokenizer: Tokenizer, token_id: int) -> bytes:
    """Empty for an id that a tokenizer leaves out."""
    return tokenizer.token_bytes(token_id) if tokenizer.text_bytes[token_id] else b""


def _in_word(byte: int) -> bool:
    return byte >= 0x80 or bytes((byte,)).isalnum()
