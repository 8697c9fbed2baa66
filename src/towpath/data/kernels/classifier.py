"""A linear classifier over hashed word n-grams: scores of N texts, and stochastic gradient descent.

A word is a run of letters, digits and bytes beyond ASCII, lower case and each digit as 0; any other
visible byte is a word of its own. The feature of an n-gram is a bucket of its hash (FNV-1a of words,
joined as fastText joins them), and a text's score the logistic function of the mean of its features'
weights.
"""

from __future__ import annotations

import ctypes
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from towpath.core.native import library, pointer
from towpath.core.texts import Texts

MAX_NGRAM_WORDS = 8
_OFFSET, _PRIME = 1469598103934665603, 1099511628211
_NGRAM = 116_049_371
_MIX = 0x9E3779B97F4A7C15
_MASK = (1 << 64) - 1
_WORDS = re.compile(rb"[a-z0\x80-\xff]+|[^\x00-\x20]")
_FOLDED = bytes.maketrans(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ123456789", b"abcdefghijklmnopqrstuvwxyz000000000")


@dataclass(frozen=True)
class Shape:
    """What turns a text into features."""

    bucket_bits: int
    """Weights are 2 to this power."""
    max_ngram_words: int
    """1 to 8."""
    max_document_bytes: int
    """Of a longer text the rest is not read."""

    def arguments(self) -> tuple[ctypes.c_int32, ctypes.c_int32, ctypes.c_int64]:
        """As the kernel takes them."""
        return (
            ctypes.c_int32(self.bucket_bits),
            ctypes.c_int32(self.max_ngram_words),
            ctypes.c_int64(self.max_document_bytes),
        )


def scores(texts: Texts, weights: np.ndarray, shape: Shape) -> np.ndarray:
    """The probability of each text: float64, (N,); 0.5 for a text without a word.

    ``weights``: float32, (2 ** bucket_bits,).
    """
    compiled = library("towpath.data.kernels", "classifier")
    if compiled is None:
        return reference_scores(texts, weights, shape)
    found = np.zeros(len(texts), np.float64)
    compiled.classifier_scores(*texts.arguments(), pointer(weights), *shape.arguments(), pointer(found))
    return found


def train_(
    weights: np.ndarray,
    texts: Texts,
    is_good: np.ndarray,
    order: np.ndarray,
    *,
    learning_rate: float,
    shape: Shape,
) -> np.ndarray:
    """One step for each text that ``order`` (int64, (S,)) names; the rate falls to 0 along a line.

    ``is_good``: uint8, (N,). Returns float64, (S,): each text's probability before its step.
    """
    compiled = library("towpath.data.kernels", "classifier")
    if compiled is None:
        return reference_train_(weights, texts, is_good, order, learning_rate=learning_rate, shape=shape)
    before = np.zeros(len(order), np.float64)
    offsets, data, _ = texts.arguments()
    compiled.classifier_train(
        *(offsets, data, pointer(is_good), pointer(order), ctypes.c_int64(len(order))),
        *(ctypes.c_double(learning_rate), pointer(weights), *shape.arguments(), pointer(before)),
    )
    return before


def reference_scores(texts: Texts, weights: np.ndarray, shape: Shape) -> np.ndarray:
    """``scores`` in Python."""
    rows = (texts.bytes_of(index) for index in range(len(texts)))
    return np.array([_probability(list(_buckets(row, shape)), weights) for row in rows], np.float64)


def reference_train_(
    weights: np.ndarray,
    texts: Texts,
    is_good: np.ndarray,
    order: np.ndarray,
    *,
    learning_rate: float,
    shape: Shape,
) -> np.ndarray:
    """``train_`` in Python."""
    before = np.zeros(len(order), np.float64)
    for step, index in enumerate(order.tolist()):
        buckets = list(_buckets(texts.bytes_of(index), shape))
        before[step] = _probability(buckets, weights)
        if buckets:
            rate = learning_rate * (1 - step / len(order))
            change = np.float32(rate * (float(is_good[index]) - before[step]) / len(buckets))
            for bucket in buckets:
                weights[bucket] += change
    return before


def _buckets(text: bytes, shape: Shape) -> Iterator[int]:
    last: list[int] = []
    for word in _WORDS.findall(text[: shape.max_document_bytes].translate(_FOLDED)):
        hashed = _OFFSET
        for byte in word:
            hashed = (hashed ^ byte) * _PRIME & _MASK
        last = [hashed, *last[: shape.max_ngram_words - 1]]
        ngram = 0
        for earlier in last:
            ngram = (ngram * _NGRAM + earlier) & _MASK
            yield (ngram * _MIX & _MASK) >> (64 - shape.bucket_bits)


def _probability(buckets: list[int], weights: np.ndarray) -> float:
    total = 0.0
    for bucket in buckets:
        total += float(weights[bucket])
    return 1 / (1 + math.exp(-(total / len(buckets) if buckets else 0.0)))
