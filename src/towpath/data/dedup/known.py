"""Stretches of texts that earlier texts have too, by fingerprints alone: the earlier texts are not there.

Comes in: the fingerprints of new texts (``kernels.fingerprints``), and which are those of earlier ones.
Goes out: spans in which at least two chosen grams in a row are known.

Found for certain: every stretch of ``min_bytes`` that stands in an earlier text, but for less than a
window of bytes at either end. What can't be told without the text: how far a stretch goes on past its
outermost grams, and whether two overlapping grams came from the same place. So stretches from about
half of ``min_bytes`` on are taken too.
Wrong by chance: a gram of 64 bits is taken for one of E with probability E / 2**64, two in a row with the
square of that. Against a terabyte of earlier text (4e10 fingerprints) that is 5e-18 for each of the new
ones; in a terabyte of new text 2e-7 stretches are expected to be wrong.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from towpath.core.texts import Texts
from towpath.data.kernels.fingerprints import Fingerprints, Winnowing

_AT_A_TIME = 1 << 20


class Known:
    """Fingerprints that are looked for: sorted, uint64, (K,); may be a file that is mapped."""

    def __init__(self, values: np.ndarray) -> None:
        self._values = values

    def has(self, values: np.ndarray) -> np.ndarray:
        """Which of ``values``, (V,), in any order, are known; bool, (V,)."""
        if not len(self._values):
            return np.zeros(len(values), bool)
        order = np.argsort(values, kind="stable")  # sorted, so that a mapped file is read front to back
        found = np.empty(len(values), bool)
        for start in range(0, len(values), _AT_A_TIME):
            rows = order[start : start + _AT_A_TIME]
            at = np.searchsorted(self._values, values[rows])
            found[rows] = self._values[np.minimum(at, len(self._values) - 1)] == values[rows]
        return found


def sorted_unique(values: np.ndarray) -> np.ndarray:
    """Each of ``values`` once, ascending. ``np.unique`` (NumPy 2.4.6) took seventy times as long."""
    ordered = np.sort(values)
    new = np.ones(len(ordered), bool)
    new[1:] = ordered[1:] != ordered[:-1]
    return ordered[new]


def in_both(ours: np.ndarray, theirs: Iterator[np.ndarray]) -> np.ndarray:
    """Which of ``ours``, sorted unique uint64, (N,), stand in one of ``theirs``, sorted too; bool, (N,)."""
    found = np.zeros(len(ours), bool)
    for values in theirs:
        places = np.searchsorted(ours, values)
        inside = places < len(ours)
        places, values = places[inside], values[inside]
        found[places[ours[places] == values]] = True
    return found


def known_spans(found: Fingerprints, known: Known, texts: Texts, min_bytes: int) -> np.ndarray:
    """Bytes of ``texts``, whose fingerprints are ``found``, that stand in earlier texts, int64, (S, 2).

    A span is a start and a stop in ``texts.data``, none reaches over two texts; sorted.
    """
    winnowing = Winnowing.for_stretches(min_bytes)
    hits = np.flatnonzero(known.has(found.values))
    if not len(hits):
        return np.zeros((0, 2), np.int64)
    rows = np.searchsorted(texts.offsets, found.firsts[hits], "right")
    apart = (np.diff(hits) > 1) | (np.diff(rows) > 0)
    begins = np.flatnonzero(np.concatenate([[True], apart]))
    ends = np.append(begins[1:], len(hits)) - 1
    spans = np.column_stack([found.firsts[hits[begins]], found.lasts[hits[ends]] + winnowing.gram_bytes])
    # A stretch of min_bytes has less than a window of grams before its first chosen one and after its last.
    return spans[spans[:, 1] - spans[:, 0] >= min_bytes - 2 * (winnowing.window - 1)]
