"""Runs of words that N texts share with R records: how evaluation sets are found in training text.

Of a record with at least ``most_words`` words, every run of so many counts; a shorter one has to match
as a whole, and one with fewer than ``least_words`` words is left out. Words are those of ``minhash``.
Runs of a record lie in a hash table; each run of a text is looked up and its words are compared, so a
collision of hashes is no hit. Needs memory for the records, the longest text and the hits.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

import numpy as np

from towpath.core.native import library, pointer
from towpath.core.texts import Texts
from towpath.data.kernels.minhash import placed_words

ROW, START, STOP, RUN, N_WORDS = range(5)
_FIRST_CAPACITY = 1 << 12


@dataclass(frozen=True)
class Records:
    """R records to look for."""

    texts: Texts
    most_words: np.ndarray
    """int64, (R,): words in a run."""
    least_words: np.ndarray
    """int64, (R,): shorter records are left out; at least 1."""


@dataclass(frozen=True)
class Overlaps:
    """What texts and records share."""

    hits: np.ndarray
    """int64, (H, 5): row of the text, start and stop in its bytes, number of the run, its words; by row,
    then by place, then by number of words. Runs are numbered by their first place in the records."""
    lengths: np.ndarray
    """int64, (R,): words in a run of each record, 0 for those left out."""


def overlaps(records: Records, texts: Texts) -> Overlaps:
    """Every run of a record that a text has too."""
    kernel = library("towpath.data.kernels", "ngram_overlap")
    if kernel is None:
        return reference_overlaps(records, texts)
    kernel.ngram_overlaps.restype = ctypes.c_int64
    limits = pointer(records.most_words), pointer(records.least_words)
    lengths, capacity = np.zeros(len(records.texts), np.int64), _FIRST_CAPACITY
    while True:
        hits = np.empty((capacity, 5), np.int64)
        outputs = ctypes.c_int64(capacity), pointer(lengths), pointer(hits)
        count = kernel.ngram_overlaps(*records.texts.arguments(), *limits, *texts.arguments(), *outputs)
        if count <= capacity:
            return Overlaps(hits[:count], lengths)
        capacity = count


def reference_overlaps(records: Records, texts: Texts) -> Overlaps:
    """The same in Python; texts have to be UTF-8."""
    runs: dict[tuple[str, ...], int] = {}
    lengths: list[int] = []
    for row in range(len(records.texts)):
        words = [word for word, _, _ in _words_in_bytes(records.texts.bytes_of(row))]
        most, least = int(records.most_words[row]), int(records.least_words[row])
        length = most if len(words) >= most else len(words) if len(words) >= least else 0
        lengths.append(length)
        for start in range(len(words) - length + 1 if length else 0):
            runs.setdefault(tuple(words[start : start + length]), len(runs))
    hits: list[tuple[int, ...]] = []
    for row in range(len(texts)):
        found = _words_in_bytes(texts.bytes_of(row))
        for place in range(len(found)):
            for length in sorted({*lengths} - {0}):
                window = found[place : place + length]
                run = runs.get(tuple(word for word, _, _ in window)) if len(window) == length else None
                if run is not None:
                    hits.append((row, window[0][1], window[-1][2], run, length))
    return Overlaps(np.array(hits, np.int64).reshape(-1, 5), np.array(lengths, np.int64))


def _words_in_bytes(raw: bytes) -> list[tuple[str, int, int]]:
    """Each word with its start and stop in ``raw``."""
    text = raw.decode()
    sizes = np.array([len(character.encode()) for character in text], np.int64)
    offsets = np.concatenate([[0], sizes.cumsum()]).tolist()
    return [(word, offsets[place], offsets[place + len(word)]) for word, place in placed_words(text)]
