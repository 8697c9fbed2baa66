"""Count the pieces of texts, so that training needs memory by distinct words and not by text.

Comes in: batches of texts. Goes out: ``WordCounts``. Counts are 64-bit: the 32 bits of the library
``tokenizers`` overflow on large corpora (its issue 1170). Words keep the order of their first sight.
"""

from __future__ import annotations

import ctypes
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np

from towpath.core.native import library, pointer
from towpath.core.texts import Texts
from towpath.tokenizer.kernels.pieces import characters, kinds, reference_pieces, rules_of

LONGEST_RUN = 2048
"""Longer runs of white space or of anything else are cut, so that no word is as long as a file.

Without that ``tokenizers`` takes quadratic time on one long word: 80,000 letters 3.5 s, 40,000 0.9 s.
"""


@dataclass(frozen=True)
class WordCounts:
    """N distinct words and how often each occurs."""

    words: Texts
    counts: np.ndarray
    """int64, (N,)."""

    @classmethod
    def of(cls, counted: dict[bytes, int]) -> WordCounts:
        """The same, from a mapping."""
        return cls(Texts.of_bytes(counted), np.array(list(counted.values()), np.int64))

    def as_mapping(self) -> dict[bytes, int]:
        """Word to count."""
        data, offsets = self.words.data.tobytes(), self.words.offsets.tolist()
        words = [data[start:end] for start, end in pairwise(offsets)]
        return dict(zip(words, self.counts.tolist(), strict=True))


def word_counts(batches: Iterable[list[bytes]], pattern: str) -> WordCounts | None:
    """The pieces of UTF-8 texts by ``pattern``, counted; None when nothing is compiled.

    ``pattern`` must be one that ``pieces.rules_of`` knows.
    """
    compiled = library("towpath.tokenizer.kernels", "word_counts")
    if compiled is None:
        return None
    rules = rules_of(pattern)
    assert rules is not None
    compiled.word_counts_new.restype = ctypes.c_void_p
    handle = ctypes.c_void_p(compiled.word_counts_new())
    try:
        for batch in batches:
            texts = Texts.of_bytes(batch)
            offsets, data, n_texts = texts.arguments()
            compiled.word_counts_add(
                *(handle, pointer(kinds()), pointer(rules), ctypes.c_int64(LONGEST_RUN)),
                *(offsets, data, n_texts),
            )
        return _taken(compiled, handle)
    finally:
        compiled.word_counts_free(handle)


def _taken(compiled: ctypes.CDLL, handle: ctypes.c_void_p) -> WordCounts:
    sizes = np.zeros(2, np.int64)
    compiled.word_counts_size(handle, pointer(sizes))
    n_words, n_bytes = sizes.tolist()
    starts, counts = np.empty(n_words + 1, np.int64), np.empty(n_words, np.int64)
    data = np.empty(n_bytes, np.uint8)
    compiled.word_counts_take(handle, pointer(starts), pointer(data), pointer(counts))
    return WordCounts(Texts(starts, data), counts)


def reference_word_counts(batches: Iterable[list[bytes]], pattern: str) -> WordCounts:
    """The same by Python's ``re``."""
    counted: Counter[bytes] = Counter()
    for batch in batches:
        for text in batch:
            for part in cut_long_runs(text.decode()):
                counted.update(piece.encode() for piece in reference_pieces(part, pattern))
    return WordCounts.of(counted)


def cut_long_runs(text: str) -> Iterator[str]:
    """``text`` in parts: runs of ``LONGEST_RUN`` characters or more are cut off and cut up."""
    start = 0
    for run in _long_run().finditer(text):
        for cut in range(run.start(), run.end(), LONGEST_RUN):
            yield text[start:cut]
            start = cut
    yield text[start:]


@cache
def _long_run() -> re.Pattern[str]:
    # The look-behinds let a match start only where a run starts; without them the search is quadratic.
    space = characters("SR")
    most = f"{{{LONGEST_RUN},}}"
    return re.compile(f"(?<![^{space}])[^{space}]{most}|(?<![{space}])[{space}]{most}")
