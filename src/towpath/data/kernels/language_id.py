"""The best label of a fastText model for each text of a column, all of it or two windows.

``FastTextModel`` and a column of texts come in; labels and probabilities go out. The Python that
stands in is ``FastTextModel.predict``; the two agree but for the order in which floats are added.
Deviation from fastText: a newline separates words and does not end the text.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from functools import cached_property

import numpy as np

from towpath.core.native import library, pointer
from towpath.core.texts import Texts
from towpath.data.fasttext_model import FastTextModel

_POINTERS = (
    "inputs",
    "outputs",
    "word_offsets",
    "words",
    "word_table",
    "kept_bits",
    "kept_before",
    "kept_rows",
    "tree",
)
_NUMBERS = (
    "n_words",
    "word_places",
    "buckets",
    "n_labels",
    "dimensions",
    "word_ngrams",
    "min_chars",
    "max_chars",
    "loss",
    "pruned",
)


class _Model(ctypes.Structure):
    _fields_ = [(name, ctypes.c_void_p) for name in _POINTERS] + [(name, ctypes.c_int64) for name in _NUMBERS]


class LabelPredictor:
    """A fastText model ready for columns of texts."""

    def __init__(self, model: FastTextModel) -> None:
        self.model = model

    @property
    def labels(self) -> Sequence[str]:
        """The names that the numbers of ``best`` stand for."""
        return self.model.labels

    def best(self, texts: Texts, window_chars: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """For N texts the best label, int32 (N,), -1 for none, and its probability, float64 (N,).

        ``window_chars``: of longer texts only that many characters from the start and from the
        middle are read; 0 reads all.
        """
        labels, scores, _ = self._run(texts, window_chars, with_all=False)
        return labels, scores

    def probabilities(self, texts: Texts, window_chars: int = 0) -> np.ndarray:
        """float64, (N, L): of each label; zeros for a text of which nothing is known."""
        return self._run(texts, window_chars, with_all=True)[2]

    def _run(
        self, texts: Texts, window_chars: int, *, with_all: bool
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        kernel = library("towpath.data.kernels", "language_id")
        labels, scores = np.full(len(texts), -1, np.int32), np.zeros(len(texts))
        every = np.zeros((len(texts) if with_all else 0, len(self.labels)))
        if kernel is None:
            for i in range(len(texts)):
                line = two_windows(texts.bytes_of(i).decode(errors="replace"), window_chars)
                row = self.model.probabilities(line.encode())
                if row is not None:
                    labels[i], scores[i] = row.argmax(), row.max()
                    if with_all:
                        every[i] = row
        else:
            window, into = ctypes.c_int64(window_chars), pointer(every) if with_all else None
            model = ctypes.byref(self._native)
            kernel.language_id(*texts.arguments(), model, window, pointer(labels), pointer(scores), into)
        return labels, scores, every

    @cached_property
    def _native(self) -> _Model:
        arrays, model, settings = self._arrays, self.model, self.model.settings
        return _Model(
            **{name: pointer(array) for name, array in arrays.items()},
            n_words=len(model.words),
            word_places=len(arrays["word_table"]),
            buckets=settings.buckets,
            n_labels=len(model.labels),
            dimensions=settings.dimensions,
            word_ngrams=settings.word_ngrams,
            min_chars=settings.min_ngram_chars,
            max_chars=settings.max_ngram_chars,
            loss=settings.loss,
            pruned=model.kept_buckets is not None,
        )

    @cached_property
    def _arrays(self) -> dict[str, np.ndarray]:
        model = self.model
        offsets = np.zeros(len(model.words) + 1, np.int64)
        np.cumsum([len(word) for word in model.words], out=offsets[1:])
        words = np.frombuffer(b"".join(model.words) or b"\0", np.uint8)
        table = np.full(1 << (2 * len(model.words) + 1).bit_length(), -1, np.int32)
        kernel = library("towpath.data.kernels", "language_id")
        assert kernel is not None
        n_words, places = ctypes.c_int64(len(model.words)), ctypes.c_int64(len(table))
        kernel.language_id_words(pointer(offsets), pointer(words), n_words, pointer(table), places)
        bits, before, rows = _kept(model)
        return {
            "inputs": model.inputs,
            "outputs": model.outputs,
            "word_offsets": offsets,
            "words": words,
            "word_table": table,
            "kept_bits": bits,
            "kept_before": before,
            "kept_rows": rows,
            "tree": model.tree,
        }


def _kept(model: FastTextModel) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A bit for each bucket that has a row, how many are before each 64, and their rows."""
    bits = np.zeros((model.settings.buckets // 64 + 1) * 64, np.uint8)
    if model.kept_buckets is None or model.kept_rows is None:
        return np.zeros(1, np.uint64), np.zeros(1, np.int32), np.zeros(1, np.int32)
    bits[model.kept_buckets] = 1
    before = np.zeros(len(bits) // 64, np.int32)
    np.cumsum(bits.reshape(-1, 64).sum(axis=1)[:-1], out=before[1:])
    return np.packbits(bits, bitorder="little").view(np.uint64), before, model.kept_rows.astype(np.int32)


def two_windows(text: str, window_chars: int) -> str:
    """The start and the middle of ``text``, 2 * ``window_chars`` characters; all of it where that is 0."""
    if window_chars <= 0 or len(text) <= 2 * window_chars:
        return text
    middle = max(window_chars, (len(text) - window_chars) // 2)
    return f"{text[:window_chars]} {text[middle : middle + window_chars]}"
