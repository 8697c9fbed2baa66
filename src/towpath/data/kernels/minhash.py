"""Signatures of texts: sketches in which the share of equal places estimates the Jaccard similarity.

A text is the set of its runs of so many words (shingles). The sketch is not the classic one of B * H
permutations (Broder 1997) but Fast Similarity Sketching (Dahlgaard, Knudsen and Thorup 2017,
arXiv:1704.04370): each shingle draws one bin and a value, the least value of a bin stays, and only
while bins are empty there is another round. It has the same expectation and as good concentration,
at one hash a shingle for all but very short texts in place of one for each place of the signature.
Deviation: a place holds 32 bits of the value alone, not its round.

Words are runs of letters, digits and underscores, ASCII letters in lower case; beyond ASCII what is
no punctuation counts as a letter, and in scripts without spaces each character is a word.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator

import numpy as np

from towpath.core.native import library, pointer
from towpath.core.texts import Texts

PARTING = (
    (0x80, 0xBF), (0xD7, 0xD7), (0xF7, 0xF7), (0x60C, 0x60C), (0x61B, 0x61B), (0x61F, 0x61F), (0x6D4, 0x6D4),
    (0x964, 0x965), (0x2000, 0x206F), (0x20A0, 0x20CF), (0x2190, 0x2BFF), (0x2E00, 0x2E7F), (0x3000, 0x3004),
    (0x3008, 0x3020), (0x3030, 0x3030), (0xFE10, 0xFE1F), (0xFE30, 0xFE6F), (0xFF00, 0xFF0F),
    (0xFF1A, 0xFF20), (0xFF3B, 0xFF40), (0xFF5B, 0xFF65), (0xFFFD, 0xFFFD), (0x1F000, 0x1FAFF),
)  # fmt: skip
"""Characters that part words, beyond ASCII."""
ALONE = (
    (0xE00, 0xEFF), (0x1000, 0x109F), (0x1780, 0x17FF), (0x3040, 0x30FF),
    (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x3134F),
)  # fmt: skip
"""Characters of Thai, Lao, Burmese, Khmer, Japanese and Chinese: each is a word."""

_WORD = (1 << 64) - 1


def signatures(texts: Texts, shingle_words: int, n_hashes: int) -> tuple[np.ndarray, np.ndarray]:
    """The signatures of N texts, uint32 (N, n_hashes), and which of them have words, bool (N,)."""
    found = np.zeros((len(texts), n_hashes), np.uint32)
    known = np.zeros(len(texts), np.uint8)
    kernel = library("towpath.data.kernels", "minhash")
    if kernel is None:
        for row in range(len(texts)):
            sketched = reference_signature(texts.bytes_of(row).decode(), shingle_words, n_hashes)
            known[row] = sketched is not None
            found[row] = 0 if sketched is None else sketched
    else:
        sizes = ctypes.c_int64(shingle_words), ctypes.c_int64(n_hashes)
        kernel.minhash_signatures(*texts.arguments(), *sizes, pointer(found), pointer(known))
    return found, known.astype(bool)


def shingles(text: str, shingle_words: int) -> set[tuple[str, ...]]:
    """The shingles themselves, for exact similarities; of a shorter text, all its words."""
    words = list(words_of(text))
    width = min(shingle_words, len(words))
    return (
        {tuple(words[start : start + width]) for start in range(len(words) - width + 1)} if words else set()
    )


def words_of(text: str) -> Iterator[str]:
    """The words of ``text``."""
    return (word for word, _ in placed_words(text))


def placed_words(text: str) -> Iterator[tuple[str, int]]:
    """The words of ``text``, each with the place of its first character."""
    word: list[str] = []
    for place, character in enumerate(text):
        kind = _kind(character)
        if kind != "word" and word:
            yield "".join(word), place - len(word)
            word = []
        if kind == "alone":
            yield character, place
        elif kind == "word":
            word.append(character.lower() if character.isascii() else character)
    if word:
        yield "".join(word), len(text) - len(word)


def _kind(character: str) -> str:
    code = ord(character)
    if code < 0x80:
        return "word" if character.isalnum() or character == "_" else "part"
    if any(first <= code <= last for first, last in PARTING):
        return "part"
    return "alone" if any(first <= code <= last for first, last in ALONE) else "word"


def reference_signature(text: str, shingle_words: int, n_hashes: int) -> list[int] | None:
    """The signature of one text, as the kernel makes it; None for one without words."""
    hashes = [_string_hash(word.encode()) for word in words_of(text)]
    width = min(shingle_words, len(hashes))
    drawn = [_shingle_hash(hashes[start : start + width]) for start in range(len(hashes) - width + 1)]
    if not hashes:
        return None
    bins: dict[int, int] = {}
    step = 0
    while len(bins) < n_hashes:
        seed = _mixed(step + 1)
        this_round: dict[int, int] = {}
        for shingle in drawn:
            value = shingle if step == 0 else _mixed(shingle ^ seed)
            place = (value >> 32) * n_hashes >> 32 if step < n_hashes else step - n_hashes
            if place not in bins:
                this_round[place] = min(this_round.get(place, _WORD), value & 0xFFFFFFFF)
        bins |= this_round
        step += 1
    return [bins[place] for place in range(n_hashes)]


def _shingle_hash(words: list[int]) -> int:
    value = 0
    for word in words:
        value = (value ^ word) * 0x9E3779B97F4A7C15 & _WORD
        value ^= value >> 29
    return _mixed(value)


def _mixed(value: int) -> int:
    value = (value ^ value >> 33) * 0xFF51AFD7ED558CCD & _WORD
    value = (value ^ value >> 33) * 0xC4CEB9FE1A85EC53 & _WORD
    return value ^ value >> 33


def _string_hash(raw: bytes) -> int:
    """The hash of ``words.h``."""
    value = len(raw) * 0x9E3779B97F4A7C15 & _WORD
    while len(raw) >= 8:
        wide = (int.from_bytes(raw[:8], "little") ^ value) * 0xA0761D6478BD642F
        value = (wide ^ wide >> 64) & _WORD
        raw = raw[8:]
    wide = (int.from_bytes(raw, "little") ^ value ^ 0x8BB84B93962EACC9) * 0xE7037ED1A0B428DB
    return (wide ^ wide >> 64) & _WORD or 1
