"""MinHash signatures (Broder 1997) of the word shingles of N texts.

Words are runs of letters, digits and marks in lower case; punctuation, symbols and spaces part them. In
scripts that are written without spaces (Chinese, Japanese, Thai, Lao, Khmer, Burmese) each character is
a word. A text of fewer words than a shingle is one shingle. Digits stay what they are: pages from one
template that differ in numbers alone are different pages. The hashes are multiply-shift (Dietzfelbinger
1997) of a 32-bit key of the shingle, with fixed constants.
"""

from __future__ import annotations

import ctypes
import unicodedata
from functools import cache

import numpy as np

from towpath.core.native import library, pointer
from towpath.data.kernels.texts import Texts

SEPARATOR, PART_OF_WORD, WORD_ALONE = range(3)
MAX_HASHES, MAX_SHINGLE_WORDS = 1024, 64
_SEED = 1_997
_WITHOUT_SPACES = ((0x0E00, 0x0EFF), (0x1000, 0x109F), (0x1780, 0x17FF), (0x2E80, 0x9FFF), (0xF900, 0xFAFF))
_FULL = 2**64 - 1


def minhash(texts: Texts, n_hashes: int, shingle_words: int) -> tuple[np.ndarray, np.ndarray]:
    """Signatures, uint32, (N, ``n_hashes``), and which texts have words at all, bool, (N,).

    Args:
        texts: the N texts.
        n_hashes: 1 to 1,024.
        shingle_words: 1 to 64.
    """
    assert 1 <= n_hashes <= MAX_HASHES
    assert 1 <= shingle_words <= MAX_SHINGLE_WORDS
    kernel = library("towpath.data.kernels", "minhash")
    if kernel is None:
        return reference_minhash(texts, n_hashes, shingle_words)
    signatures = np.empty((len(texts), n_hashes), np.uint32)
    known = np.empty(len(texts), np.uint8)
    tables = map(pointer, (*character_tables(), *constants(n_hashes)))
    sizes = ctypes.c_int64(n_hashes), ctypes.c_int64(shingle_words)
    kernel.minhash(*texts.arguments(), *tables, *sizes, pointer(signatures), pointer(known))
    return signatures, known.astype(bool)


@cache
def character_tables() -> tuple[np.ndarray, np.ndarray]:
    """Of each of the first 65,536 code points its lower case, uint16, and its class, uint8."""
    lower, classes = np.zeros(1 << 16, np.uint16), np.zeros(1 << 16, np.uint8)
    for code in range(1 << 16):
        small = chr(code).lower()
        lower[code] = ord(small) if len(small) == 1 else code
        category = unicodedata.category(chr(code))
        separates = category[0] in "PZS" or category in ("Cc", "Cf")
        classes[code] = SEPARATOR if separates else PART_OF_WORD
    for first, last in _WITHOUT_SPACES:
        part = classes[first : last + 1]
        part[part == PART_OF_WORD] = WORD_ALONE
    return lower, classes


@cache
def constants(n_hashes: int) -> tuple[np.ndarray, np.ndarray]:
    """Factors and terms of the hashes, uint64, (``n_hashes``,) each."""
    drawn = np.random.default_rng(_SEED).integers(0, 2**64, (MAX_HASHES, 2), np.uint64)[:n_hashes]
    return np.ascontiguousarray(drawn[:, 0] | np.uint64(1)), np.ascontiguousarray(drawn[:, 1])


def words(text: str) -> list[str]:
    """The words of a text."""
    lower, classes = character_tables()
    found, word = [], ""
    for character in text:
        code = ord(character)
        kind = PART_OF_WORD if code > 0xFFFF else classes[code]
        if kind != PART_OF_WORD and word:
            found.append(word)
            word = ""
        if kind == PART_OF_WORD:
            word += character if code > 0xFFFF else chr(lower[code])
        elif kind == WORD_ALONE:
            found.append(chr(lower[code]))
    return [*found, word] if word else found


def reference_minhash(texts: Texts, n_hashes: int, shingle_words: int) -> tuple[np.ndarray, np.ndarray]:
    """The same in Python."""
    factors, terms = constants(n_hashes)
    signatures = np.full((len(texts), n_hashes), 0xFFFFFFFF, np.uint32)
    known = np.zeros(len(texts), bool)
    for row in range(len(texts)):
        hashes = [_word_hash(word) for word in words(texts.bytes_of(row).decode())]
        n_shingles = max(len(hashes) - shingle_words + 1, 1) if hashes else 0
        shingles = [hashes[start : start + shingle_words] for start in range(n_shingles)]
        known[row] = bool(shingles)
        for key in set(map(_shingle_key, shingles)):
            values = ((factors * np.uint64(key) + terms) >> np.uint64(32)).astype(np.uint32)
            signatures[row] = np.minimum(signatures[row], values)
    return signatures, known


def _word_hash(word: str) -> int:
    value = 0
    for character in word:
        value = ((value ^ ord(character)) * 0x100000001B3 + 0x9E3779B97F4A7C15) & _FULL
    return _mixed(value)


def _shingle_key(hashes: list[int]) -> int:
    value = 0
    for word in hashes:
        value = ((value ^ word) * 0x9E3779B97F4A7C15) & _FULL
        value ^= value >> 29
    return _mixed(value) >> 32


def _mixed(value: int) -> int:
    value = ((value ^ value >> 32) * 0xD6E8FEB86659FD93) & _FULL
    return value ^ value >> 32
