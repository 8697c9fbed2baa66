"""Fingerprints of N texts: 64 bits for about every half window of grams; stretches are found again by them.

Winnowing (Schleimer, Wilkerson and Aiken 2003): of every ``window`` neighbouring grams the smallest is
chosen, by a rolling hash, the last of equal ones. So which grams of a stretch are chosen depends on the
stretch alone, but for less than a window at either end. The fingerprint of a gram is another hash, of all
its bytes, since a rolling one forgets the order of bytes that stand 64 apart. It is no defence against
text that is made to collide. Neighbours with the same fingerprint, as in a line of dashes, are one entry.

Numbers, orders and fingerprints never change: stored ones are compared with those of later texts.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

import numpy as np

from towpath.core.native import library, pointer
from towpath.core.texts import Texts

_GOLDEN, _MIX, _FINAL = 0x9E3779B97F4A7C15, 0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53
_ORDER = 0xBF58476D1CE4E5B9
_MASK = (1 << 64) - 1


@dataclass(frozen=True)
class Winnowing:
    """What is chosen: of every ``window`` grams of ``gram_bytes`` bytes one."""

    gram_bytes: int
    window: int

    @classmethod
    def for_stretches(cls, min_bytes: int) -> Winnowing:
        """So that every stretch of ``min_bytes``, 16 or more, has two chosen grams wherever it stands.

        Two grams are chosen for certain from 2 windows on, which take ``2 * window + gram_bytes - 1``
        bytes. Grams of half the stretch cost 0.31 bytes a byte of text at 200 bytes; longer ones cost
        more, with shorter ones a stretch far below ``min_bytes`` is taken for one.
        """
        gram_bytes = min_bytes // 2
        return cls(gram_bytes, (min_bytes - gram_bytes + 1) // 2)


@dataclass(frozen=True)
class Fingerprints:
    """F fingerprints of texts, in the order of the texts' bytes."""

    values: np.ndarray
    """uint64, (F,)."""
    firsts: np.ndarray
    """int64, (F,): where in the texts' data the gram starts that has it."""
    lasts: np.ndarray
    """int64, (F,): where the last of neighbouring grams starts that have it, mostly the same."""


def fingerprints(texts: Texts, winnowing: Winnowing) -> Fingerprints:
    """The fingerprints of ``texts``; a text shorter than one window of grams has none."""
    kernel = library("towpath.data.kernels", "fingerprints")
    if kernel is None:
        return reference_fingerprints(texts, winnowing)
    n_bytes = int(texts.offsets[-1] - texts.offsets[0])
    capacity = 1_024 + int(n_bytes * 2.5 / (winnowing.window + 1))
    while True:
        found = _computed(kernel, texts, winnowing, capacity)
        if found is not None:
            return found
        capacity *= 2


def _computed(kernel: ctypes.CDLL, texts: Texts, winnowing: Winnowing, capacity: int) -> Fingerprints | None:
    values = np.empty(capacity, np.uint64)
    firsts, lasts = np.empty(capacity, np.int64), np.empty(capacity, np.int64)
    compute = kernel.fingerprints
    compute.restype = ctypes.c_int64
    numbers = map(ctypes.c_int64, (winnowing.gram_bytes, winnowing.window, capacity))
    outputs = pointer(values), pointer(firsts), pointer(lasts)
    count = compute(*texts.arguments(), pointer(_NUMBERS), *numbers, *outputs)
    return None if count < 0 else Fingerprints(values[:count], firsts[:count], lasts[:count])


def reference_fingerprints(texts: Texts, winnowing: Winnowing) -> Fingerprints:
    """The same in NumPy."""
    found = []
    for row in range(len(texts)):
        content = texts.data[texts.offsets[row] : texts.offsets[row + 1]]
        places = _chosen(content, winnowing)
        values = _values(content, places, winnowing.gram_bytes)
        new = np.flatnonzero(np.diff(values, prepend=~values[:1]))  # the first of those that have it
        lasts = np.append(new[1:], len(values))[: len(new)] - 1
        found.append((values[new], places[new] + texts.offsets[row], places[lasts] + texts.offsets[row]))
    kinds = (np.uint64, np.int64, np.int64)
    columns = zip(*found, strict=True) if found else ((), (), ())
    joined = [
        np.concatenate([np.zeros(0, kind), *column]) for kind, column in zip(kinds, columns, strict=True)
    ]
    return Fingerprints(*joined)


def _chosen(content: np.ndarray, winnowing: Winnowing) -> np.ndarray:
    """Where the chosen grams start, each once."""
    gram_bytes, window = winnowing.gram_bytes, winnowing.window
    n_grams = len(content) - gram_bytes + 1
    if n_grams < window:
        return np.zeros(0, np.int64)
    turns = np.arange(len(content))
    sums = np.bitwise_xor.accumulate(_rotated(_NUMBERS[content], -turns))
    before = np.append(np.zeros(1, np.uint64), sums)[:n_grams]
    mixed = _rotated(sums[gram_bytes - 1 :] ^ before, turns[gram_bytes - 1 :]) * np.uint64(_GOLDEN)
    orders = (mixed ^ mixed >> np.uint64(29)) * np.uint64(_ORDER) >> np.uint64(32)
    windows = np.lib.stride_tricks.sliding_window_view(orders, window)[:, ::-1]
    return np.unique(np.arange(len(windows)) + window - 1 - windows.argmin(axis=1))


def _rotated(values: np.ndarray, by: np.ndarray) -> np.ndarray:
    left = (by % 64).astype(np.uint64)
    return values << left | values >> (np.uint64(64) - left) % np.uint64(64)


def _values(content: np.ndarray, places: np.ndarray, gram_bytes: int) -> np.ndarray:
    hashes = np.full(len(places), gram_bytes * _GOLDEN & _MASK, np.uint64)
    padded = np.append(content, np.zeros(8, np.uint8))
    for start in range(0, gram_bytes, 8):
        words = padded[places[:, None] + start + np.arange(8)]
        words[:, gram_bytes - start :] = 0
        hashes = (hashes ^ words.view("<u8")[:, 0]) * np.uint64(_MIX)
        hashes ^= hashes >> np.uint64(32)
    hashes *= np.uint64(_FINAL)
    return hashes ^ hashes >> np.uint64(29)


def _numbers() -> np.ndarray:
    """One for each byte, by SplitMix64 (Steele, Lea and Flood 2014) from 0."""
    state = (np.arange(1, 257, dtype=np.uint64)) * np.uint64(_GOLDEN)
    state = (state ^ state >> np.uint64(30)) * np.uint64(_ORDER)
    state = (state ^ state >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    return state ^ state >> np.uint64(31)


_NUMBERS = _numbers()
