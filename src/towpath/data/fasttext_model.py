"""fastText's supervised models as arrays: reads ``.bin`` and quantised ``.ftz`` files, and predicts.

Joulin et al. 2016, arXiv:1607.01759 and arXiv:1612.03651; the layout and the hashes are those of
fastText 0.9.2 (MIT), file version 12. A path comes in, ``FastTextModel`` goes out; its ``predict`` is plain
Python and NumPy, the oracle and stand-in of the kernel ``language_id``.
Deviations: a quantised matrix is decoded when it is read, so each row is one sum; lid.176.ftz takes
3.2 MB that way. The sigmoid of one-against-all models is computed, fastText reads it from a table
with an error of up to 0.008.

V words, B kept buckets of n-grams, L labels, D dimensions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

HIERARCHICAL_SOFTMAX, NEGATIVE_SAMPLING, SOFTMAX, ONE_VS_ALL = 1, 2, 3, 4
"""How a model was trained, as the file says it."""
END_OF_LINE = b"</s>"
LABEL_PREFIX = b"__label__"
_WORD_NGRAM_FACTOR = 116_049_371
_WHITE_SPACE = b" \n\r\t\v\f\0"
_SEPARATORS = bytes.maketrans(_WHITE_SPACE, b" " * len(_WHITE_SPACE))


@dataclass(frozen=True)
class FastTextSettings:
    """What of the training settings a prediction needs."""

    dimensions: int
    word_ngrams: int
    """Up to this many words in a row are an input of their own."""
    loss: int
    buckets: int
    """Hashes of n-grams are taken modulo this."""
    min_ngram_chars: int
    max_ngram_chars: int
    """Bounds of a word's n-grams of characters; 0: none."""


@dataclass(frozen=True)
class FastTextModel:
    """A supervised model."""

    settings: FastTextSettings
    words: tuple[bytes, ...]
    """V words; the row of a word is its index."""
    labels: tuple[str, ...]
    """L labels without ``__label__``."""
    label_counts: np.ndarray
    """int64, (L,): examples in training, falling."""
    kept_buckets: np.ndarray | None
    """int64, (B,), rising: buckets of a pruned model that have a row; None: all have."""
    kept_rows: np.ndarray | None
    """int64, (B,): their rows, counted from V."""
    inputs: np.ndarray
    """float32, (V + B, D)."""
    outputs: np.ndarray
    """float32, (L, D); for hierarchical softmax row i is the tree's inner node i."""

    @classmethod
    def read(cls, path: str | Path) -> FastTextModel:
        """The model at ``path``; a ``ConfigError`` says what is wrong with the file."""
        from towpath.data.fasttext_file import read_model

        return read_model(Path(path))

    @cached_property
    def word_rows(self) -> dict[bytes, int]:
        """The row of each word."""
        return {word: row for row, word in enumerate(self.words)}

    @cached_property
    def _bucket_rows(self) -> dict[int, int] | None:
        if self.kept_buckets is None or self.kept_rows is None:
            return None
        return dict(zip(self.kept_buckets.tolist(), self.kept_rows.tolist(), strict=True))

    @cached_property
    def tree(self) -> np.ndarray:
        """int32, (L - 1, 2): left and right child of inner node L + i; a child below L is a label."""
        return huffman_tree(self.label_counts)

    def predict(self, line: bytes) -> tuple[int, float]:
        """The index of the best label and its probability; (-1, 0.0) where nothing of ``line`` is known.

        Everything is one line: newlines separate words as spaces do.
        """
        scores = self.probabilities(line)
        if scores is None:
            return -1, 0.0
        best = int(scores.argmax())
        return best, float(scores[best])

    def probabilities(self, line: bytes) -> np.ndarray | None:
        """float64, (L,); None where nothing of ``line`` is known."""
        rows = self.input_rows(line)
        if not rows:
            return None
        hidden = self.inputs[rows].mean(axis=0, dtype=np.float32)
        scores = (self.outputs @ hidden).astype(np.float64)
        if self.settings.loss == HIERARCHICAL_SOFTMAX:
            return self._down_the_tree(scores)
        if self.settings.loss == SOFTMAX:
            raised = np.exp(scores - scores.max())
            return raised / raised.sum()
        return 1 / (1 + np.exp(-scores))

    def _down_the_tree(self, scores: np.ndarray) -> np.ndarray:
        n_labels = len(self.labels)
        logs = np.zeros(2 * n_labels - 1)
        right = 1 / (1 + np.exp(-scores))
        for inner in range(n_labels - 2, -1, -1):
            left_child, right_child = self.tree[inner]
            logs[left_child] = logs[n_labels + inner] + math.log(1 - right[inner] + 1e-5)
            logs[right_child] = logs[n_labels + inner] + math.log(right[inner] + 1e-5)
        return np.exp(logs[:n_labels])

    def input_rows(self, line: bytes) -> list[int]:
        """Rows of ``inputs`` that ``line`` is the mean of: words, their n-grams, n-grams of words."""
        rows: list[int] = []
        hashes: list[int] = []
        words = [word for word in line.translate(_SEPARATORS).split(b" ") if word]
        for word in [*words, END_OF_LINE]:
            row = self.word_rows.get(word)
            if row is None and word.startswith(LABEL_PREFIX):
                continue
            if row is not None:
                rows.append(row)
            if word != END_OF_LINE:
                rows.extend(self._subword_rows(b"<" + word + b">"))
            hashes.append(_signed(fnv(word)))
            if word == END_OF_LINE:
                break
        return rows + self._word_ngram_rows(hashes)

    def _subword_rows(self, word: bytes) -> list[int]:
        low, high = self.settings.min_ngram_chars, self.settings.max_ngram_chars
        starts = [i for i, byte in enumerate(word) if byte & 0xC0 != 0x80]
        ends = [*starts[1:], len(word)]
        rows: list[int] = []
        for first, start in enumerate(starts):
            for last in range(first + max(low, 1) - 1, min(first + high, len(starts))):
                if first == last and (first == 0 or ends[last] == len(word)):
                    continue
                rows.extend(self._bucket_row(fnv(word[start : ends[last]]) % self.settings.buckets))
        return rows

    def _word_ngram_rows(self, hashes: list[int]) -> list[int]:
        rows: list[int] = []
        for first, mixed in enumerate(hashes):
            for value in hashes[first + 1 : first + self.settings.word_ngrams]:
                mixed = (mixed * _WORD_NGRAM_FACTOR + value) % 2**64
                rows.extend(self._bucket_row(mixed % self.settings.buckets))
        return rows

    def _bucket_row(self, bucket: int) -> tuple[int, ...]:
        if self._bucket_rows is None:
            return (len(self.words) + bucket,)
        row = self._bucket_rows.get(bucket)
        return () if row is None else (len(self.words) + row,)


def fnv(word: bytes) -> int:
    """fastText's hash: 32-bit FNV-1a over signed bytes."""
    value = 2_166_136_261
    for byte in word:
        value = ((value ^ (byte if byte < 128 else byte | 0xFFFFFF00)) * 16_777_619) & 0xFFFFFFFF
    return value


def _signed(value: int) -> int:
    return value - 2**32 if value >= 2**31 else value


def huffman_tree(counts: np.ndarray) -> np.ndarray:
    """int32, (L - 1, 2): the children of each inner node, as fastText builds them from falling ``counts``."""
    n = len(counts)
    weights = [*counts.tolist(), *[10**15] * (n - 1)]
    leaf, node = n - 1, n
    children = np.zeros((max(n - 1, 0), 2), np.int32)
    for inner in range(n, 2 * n - 1):
        for side in range(2):
            if leaf >= 0 and weights[leaf] < weights[node]:
                children[inner - n, side], leaf = leaf, leaf - 1
            else:
                children[inner - n, side], node = node, node + 1
        weights[inner] = sum(weights[child] for child in children[inner - n])
    return children
