"""Encode texts by merges, many at a time, with a cache of words.

Comes in: UTF-8 texts. Goes out: the ids of all texts in one array and where each text's ids end. The
ids do not depend on the cache. Without a compiler tiktoken encodes in its place (see ``tokenizer``);
``reference_encode`` is the oracle in tests.
"""

from __future__ import annotations

import ctypes
import queue
import weakref
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from towpath.core.native import library, pointer
from towpath.core.texts import Texts
from towpath.tokenizer.kernels.pieces import kinds, reference_pieces, rules_of

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


class Encoder:
    """The merges and ids of a tokenizer in the kernel's memory. Threads may share it."""

    def __init__(self, compiled: ctypes.CDLL, pattern: str, merges: np.ndarray, ids: np.ndarray) -> None:
        rules = rules_of(pattern)
        assert rules is not None
        self._compiled, self._rules = compiled, rules
        self._made_of = (pattern, merges, ids)
        compiled.vocabulary_new.restype = compiled.encoder_new.restype = ctypes.c_void_p
        self._vocabulary = ctypes.c_void_p(
            compiled.vocabulary_new(pointer(merges), ctypes.c_int64(len(merges)), pointer(ids))
        )
        self._idle: queue.SimpleQueue[ctypes.c_void_p] = queue.SimpleQueue()
        weakref.finalize(self, _free, compiled, self._vocabulary, self._idle)

    @classmethod
    def of(cls, pattern: str, merges: ArrayLike, ids: ArrayLike) -> Encoder | None:
        """None when nothing is compiled or the kernel does not know ``pattern``.

        ``merges`` are pairs of ranks (bytes 0 to 255, then merges in order); ``ids`` has each rank's id.
        """
        compiled = library("towpath.tokenizer.kernels", "encoder")
        if compiled is None or rules_of(pattern) is None:
            return None
        pairs = np.array(merges, np.uint32).reshape(-1, 2)
        return cls(compiled, pattern, pairs, np.array(ids, np.uint32))

    def __reduce__(self) -> tuple:
        return Encoder.of, self._made_of

    def encode(self, texts: Texts) -> tuple[np.ndarray, np.ndarray]:
        """The ids of all texts, uint32, and where each text's ids end, int64, (N,)."""
        ids = np.empty(len(texts.data), np.uint32)
        ends = np.empty(len(texts), np.int64)
        offsets, data, n_texts = texts.arguments()
        worker = self._take()
        try:
            self._compiled.encode(
                *(worker, pointer(kinds()), pointer(self._rules)),
                *(offsets, data, n_texts, pointer(ids), pointer(ends)),
            )
        finally:
            self._idle.put(worker)
        return ids[: ends[-1] if len(ends) else 0].copy(), ends

    def _take(self) -> ctypes.c_void_p:
        """A worker, with a cache of its own, that no other thread has."""
        try:
            return self._idle.get_nowait()
        except queue.Empty:
            return ctypes.c_void_p(self._compiled.encoder_new(self._vocabulary))


def _free(
    compiled: ctypes.CDLL, vocabulary: ctypes.c_void_p, idle: queue.SimpleQueue[ctypes.c_void_p]
) -> None:
    while not idle.empty():
        compiled.encoder_free(idle.get())
    compiled.vocabulary_free(vocabulary)


def reference_encode(
    text: str, pattern: str, merges: Sequence[tuple[int, int]], ids: Sequence[int]
) -> list[int]:
    """The ids of one text in plain Python."""
    rank_of = {pair: 256 + number for number, pair in reversed(list(enumerate(merges)))}
    return [ids[rank] for piece in reference_pieces(text, pattern) for rank in _merged(piece, rank_of)]


def _merged(piece: str, rank_of: dict[tuple[int, int], int]) -> list[int]:
    parts = list(piece.encode())
    while True:
        ranks = [(rank_of[pair], place) for place, pair in enumerate(pairwise(parts)) if pair in rank_of]
        if not ranks:
            return parts
        rank, place = min(ranks)
        parts[place : place + 2] = [rank]
