"""Learn merges from counted words.

Each round merges the pair of neighbouring tokens that occurs most often, overlaps counted too. Of
pairs that occur equally often the one with the smaller left token is merged, then the one with the
smaller right token; tokens are ordered as the trainer of ``tokenizers`` orders them: bytes by the
code point of the character that stands for them in tokenizer files, then tokens by their age. So
the merges are the same as those of ``tokenizers``.
"""

from __future__ import annotations

import ctypes
from collections import Counter
from itertools import pairwise

import numpy as np

from towpath.core.errors import TokenizerError
from towpath.core.native import library, pointer
from towpath.core.texts import Texts
from towpath.tokenizer.kernels.word_counts import WordCounts

_NO_BOUND = 1 << 40
_MOST_CELLS = (1 << 32) - 2

Merge = tuple[bytes, bytes]


def learn_merges(
    counted: WordCounts, wanted: int, min_count: int, max_token_bytes: int | None, alphabet: list[str]
) -> list[Merge] | None:
    """At most ``wanted`` merges; None when nothing is compiled.

    ``alphabet`` has the character that stands for each byte. No token is longer than ``max_token_bytes``.

    Raises:
        TokenizerError: the distinct words have more than 4 GB in all.
    """
    compiled = library("towpath.tokenizer.kernels", "merges")
    if compiled is None:
        return None
    if len(counted.words.data) + len(counted.words) > _MOST_CELLS:
        raise TokenizerError(
            f"The distinct words of the text have {len(counted.words.data)} bytes in all; training takes "
            "at most 4 GB of them. Set tokenizer.sample_bytes to train on less text."
        )
    byte_of, rank_of = _byte_order(alphabet)
    ranked = Texts(counted.words.offsets, rank_of[counted.words.data])
    pairs = np.empty((wanted, 2), np.uint32)
    compiled.learn_merges.restype = ctypes.c_int64
    offsets, data, n_words = ranked.arguments()
    found = compiled.learn_merges(
        *(offsets, data, pointer(counted.counts), n_words),
        *(ctypes.c_int64(number) for number in (wanted, min_count, max_token_bytes or _NO_BOUND)),
        pointer(pairs),
    )
    return _spelled_out(pairs[:found].tolist(), byte_of)


def reference_learn_merges(
    counted: WordCounts, wanted: int, min_count: int, max_token_bytes: int | None, alphabet: list[str]
) -> list[Merge]:
    """The same in plain Python: every pair is counted anew for every merge."""
    byte_of, rank_of = _byte_order(alphabet)
    words = [(rank_of[list(word)].tolist(), count) for word, count in counted.as_mapping().items()]
    sizes, pairs = [1] * 256, []
    while len(pairs) < wanted:
        counts: Counter[tuple[int, int]] = Counter()
        for word, count in words:
            for left, right in pairwise(word):
                if sizes[left] + sizes[right] <= (max_token_bytes or _NO_BOUND):
                    counts[left, right] += count
        best = min(counts, key=lambda pair: (-counts[pair], pair), default=None)
        if best is None or counts[best] < min_count:
            break
        pairs.append(best)
        words = [(_merged(word, best, len(sizes)), count) for word, count in words]
        sizes.append(sizes[best[0]] + sizes[best[1]])
    return _spelled_out(pairs, byte_of)


def _merged(word: list[int], pair: tuple[int, int], made: int) -> list[int]:
    merged: list[int] = []
    at = 0
    while at < len(word):
        found = tuple(word[at : at + 2]) == pair
        merged.append(made if found else word[at])
        at += 2 if found else 1
    return merged


def _byte_order(alphabet: list[str]) -> tuple[list[int], np.ndarray]:
    """The bytes in the order of their characters, and the place of each byte in it, uint8, (256,)."""
    byte_of = sorted(range(256), key=alphabet.__getitem__)
    rank_of = np.empty(256, np.uint8)
    rank_of[byte_of] = np.arange(256, dtype=np.uint8)
    return byte_of, rank_of


def _spelled_out(pairs: list[list[int]] | list[tuple[int, int]], byte_of: list[int]) -> list[Merge]:
    tokens = [bytes([byte]) for byte in byte_of]
    merges = []
    for left, right in pairs:
        merges.append((tokens[left], tokens[right]))
        tokens.append(tokens[left] + tokens[right])
    return merges
