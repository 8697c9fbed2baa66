"""Stretches of bytes that stand in an earlier text, or earlier in the same one, in N texts.

Winnowing (Schleimer, Wilkerson and Aiken 2003): of every ``min_bytes - k + 1`` neighbouring k-grams the
one with the smallest hash is looked up, so that every repeat of ``min_bytes`` shares one; equal hashes
are compared byte by byte and extended as far as the texts agree. Deviations: a k-gram whose whole
surroundings are a known repeat is not stored again, since its first place finds the same; at most 64
places are kept for one k-gram. Needs about 0.35 to 0.65 bytes of memory a byte of text, which itself may
be a file that is mapped.
"""

from __future__ import annotations

import ctypes

import numpy as np

from towpath.core.errors import DataError
from towpath.core.native import library, pointer
from towpath.core.texts import Texts

GRAM_BYTES = 100
MAX_WINDOW = 1 << 12
_NUMBERS = np.random.default_rng(20_031).integers(0, 2**64, 256, np.uint64)


def repeated_spans(texts: Texts, min_bytes: int, order: np.ndarray | None = None) -> np.ndarray:
    """Bytes that repeat earlier ones, int64, (S, 2): start and stop in ``texts.data``, none in two texts.

    Args:
        texts: the N texts.
        min_bytes: the shortest repeat that counts, 16 to 4,000.
        order: (N,), the texts from the first to the last; as they stand if None.

    Raises:
        DataError: ``min_bytes`` is out of range.
    """
    if not 16 <= min_bytes <= 4_000:
        raise DataError(f"min_bytes is {min_bytes}; it must be 16 to 4,000.")
    places = np.arange(len(texts)) if order is None else np.ascontiguousarray(order, np.int64)
    kernel = library("towpath.data.kernels", "winnow")
    if kernel is None:
        return reference_repeated_spans(texts, min_bytes, places)
    gram = min(GRAM_BYTES, min_bytes // 2)
    n_bytes = int(texts.offsets[-1] - texts.offsets[0])
    capacity = 1 << max(10, int(n_bytes * 2.3 / (min_bytes - gram + 2)).bit_length())
    while True:
        spans = _search(kernel, texts, places, (gram, min_bytes, capacity))
        if spans is not None:
            return spans
        capacity *= 2


def _search(
    kernel: ctypes.CDLL, texts: Texts, order: np.ndarray, sizes: tuple[int, int, int]
) -> np.ndarray | None:
    gram, min_bytes, capacity = sizes
    tags, places = np.empty(capacity, np.uint32), np.full(capacity, -1, np.int64)
    most = int(texts.offsets[-1] - texts.offsets[0]) // min_bytes + 2
    spans = np.empty((most, 2), np.int64)
    search = kernel.repeated_spans
    search.restype = ctypes.c_int64
    numbers = map(ctypes.c_int64, (gram, min_bytes, capacity))
    outputs = pointer(tags), pointer(places), pointer(spans)
    count = search(*texts.arguments(), pointer(order), pointer(_NUMBERS), *numbers, *outputs)
    if count < 0:
        return None
    found = spans[:count]
    return found[np.argsort(found[:, 0], kind="stable")]


def reference_repeated_spans(texts: Texts, min_bytes: int, order: np.ndarray) -> np.ndarray:
    """The same by keeping every stretch of ``min_bytes``: short, and far too large for real corpora."""
    seen: set[bytes] = set()
    spans: list[list[int]] = []
    for index in order.tolist():
        text, start = texts.bytes_of(index), int(texts.offsets[index])
        first_of_text = len(spans)
        for place in range(len(text) - min_bytes + 1):
            stretch = text[place : place + min_bytes]
            if stretch not in seen:
                seen.add(stretch)
            elif len(spans) > first_of_text and spans[-1][1] >= start + place:
                spans[-1][1] = start + place + min_bytes
            else:
                spans.append([start + place, start + place + min_bytes])
    return np.array(sorted(spans), np.int64).reshape(-1, 2)
