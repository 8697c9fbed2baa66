"""What the rules of Gopher, C4 and FineWeb ask of a text, in one pass over a column of texts.

Rae et al. 2021, arXiv:2112.11446, A.1.1 and table A1; Raffel et al. 2020, JMLR 21, 2.2; Penedo et
al. 2024, arXiv:2406.17557, 3.5 and 3.6. Where they leave a choice, datatrove 0.10.1's is taken: English
words and sentences by spaCy's rules (``words``), character shares of the whole text, n-grams of words
and symbols.
Deviations: an n-gram is its words, not their characters strung together; citations are ``[12]`` with
ASCII digits; phrases are sought without regard to ASCII case; what has no words has shares of 0.
"""

from __future__ import annotations

import ctypes
import re
from collections import Counter
from collections.abc import Mapping
from functools import cache

import numpy as np

from towpath.core.native import library, pointer
from towpath.core.texts import Texts
from towpath.data.kernels.text_classes import UNITS, characters, class_table, english_exceptions
from towpath.data.kernels.words import split_words

COUNTS = ("n_words", "n_words_and_symbols", "n_stop_words")
TOP_NGRAMS = (2, 3, 4)
DUPLICATE_NGRAMS = (5, 6, 7, 8, 9, 10)
C4_COUNTS = tuple(
    f"{prefix}_{name}"
    for prefix in ("c4", "c4_any_end")
    for name in ("sentences", "lorem_ipsum_lines", "curly_bracket_lines")
)
NAMES = (
    *COUNTS,
    "mean_word_chars",
    "hashes_per_word",
    "ellipses_per_word",
    "bullet_line_share",
    "ellipsis_line_share",
    "alphabetic_word_share",
    "duplicate_paragraph_share",
    "duplicate_paragraph_char_share",
    "duplicate_line_share",
    "duplicate_line_char_share",
    *(f"top_{n}gram_char_share" for n in TOP_NGRAMS),
    *(f"duplicate_{n}gram_char_share" for n in DUPLICATE_NGRAMS),
    "terminal_line_share",
    "short_line_share",
    "repeated_line_char_share",
    "newlines_per_word",
    *C4_COUNTS,
)
"""The columns; ``COUNTS`` and ``C4_COUNTS`` are whole numbers."""

STOP_WORDS = ("the", "be", "to", "of", "and", "that", "have", "with")
"""The eight of Rae et al."""
SHORT_LINE_CHARS = 30
"""Penedo et al., 3.6: lines of at most this many characters are short."""
_C4_MIN_LINE_WORDS, _C4_MAX_WORD_CHARS = 3, 1_000
POLICY_PHRASES = (
    "terms of use",
    "privacy policy",
    "cookie policy",
    "uses cookies",
    "use of cookies",
    "use cookies",
)
"""C4's six, in lower case."""
_CITATION = re.compile(r"\[[0-9]*]|\[edit]|\[citation needed]")
_ASCII_LOWER = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")


def text_features(texts: Texts) -> dict[str, np.ndarray]:
    """A column, (N,), for each of ``NAMES``: int64 for counts, else float64."""
    kernel = library("towpath.data.kernels", "text_features")
    if kernel is None:
        rows = [
            reference_text_features(texts.bytes_of(i).decode(errors="replace")) for i in range(len(texts))
        ]
        table = (
            np.array([[row[name] for name in NAMES] for row in rows], np.float64).reshape(-1, len(NAMES)).T
        )
    else:
        table = np.zeros((len(NAMES), len(texts)))
        exceptions, units = _known()
        kernel.text_features(
            *texts.arguments(),
            pointer(class_table()),
            *exceptions.arguments(),
            *units.arguments(),
            pointer(table),
            ctypes.c_int64(len(NAMES)),
        )
    whole = {*COUNTS, *C4_COUNTS}
    return {
        name: column.astype(np.int64) if name in whole else column
        for name, column in zip(NAMES, table, strict=True)
    }


@cache
def _known() -> tuple[Texts, Texts]:
    """The English exceptions, a space at each split, and the units."""
    import pyarrow as pa

    exceptions = [" ".join(tokens) for tokens in english_exceptions().values()]
    exceptions, units = (pa.array(strings, pa.large_string()) for strings in (exceptions, UNITS))
    return Texts.of(exceptions), Texts.of(units)


def reference_text_features(text: str) -> Mapping[str, float]:
    """The features of one text by plain Python: the kernel's oracle."""
    words = split_words(text)
    return {
        "n_words_and_symbols": len(words),
        **_word_features(text, words),
        **_line_features(text),
        **_repetition_features(text, words),
        **_fineweb_features(text, len(words)),
        **_c4_features(text, "c4", ends=True),
        **_c4_features(text, "c4_any_end", ends=False),
    }


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


def _word_features(text: str, words: list[str]) -> Mapping[str, float]:
    symbols, letters = _all_of("symbol"), _any_of("letter")
    real = [word for word in words if not symbols.match(word)]
    return {
        "n_words": len(real),
        "mean_word_chars": _share(sum(map(len, real)), len(real)),
        "n_stop_words": len(set(STOP_WORDS).intersection(words)),
        "hashes_per_word": _share(text.count("#"), len(words)),
        "ellipses_per_word": _share(text.count("...") + text.count("…"), len(words)),
        "alphabetic_word_share": _share(sum(bool(letters.search(word)) for word in words), len(words)),
    }


def _all_of(name: str) -> re.Pattern[str]:
    return re.compile(f"[{characters(name)}]+\\Z")


def _any_of(name: str) -> re.Pattern[str]:
    return re.compile(f"[{characters(name)}]")


def _line_features(text: str) -> Mapping[str, float]:
    lines = [line.strip() for line in text.splitlines()]
    return {
        "bullet_line_share": _share(sum(line.startswith(("-", "•")) for line in lines), len(lines)),
        "ellipsis_line_share": _share(sum(line.endswith(("...", "…")) for line in lines), len(lines)),
    }


def _repetition_features(text: str, words: list[str]) -> Mapping[str, float]:
    size = len(text)
    paragraphs, lines = re.split(r"\n{2,}", text.strip()), re.split(r"\n+", text)
    n_paragraphs, paragraph_chars = _duplicates(paragraphs)
    n_lines, line_chars = _duplicates(lines)
    return {
        "duplicate_paragraph_share": _share(n_paragraphs, len(paragraphs)),
        "duplicate_paragraph_char_share": _share(paragraph_chars, size),
        "duplicate_line_share": _share(n_lines, len(lines)),
        "duplicate_line_char_share": _share(line_chars, size),
        **{f"top_{n}gram_char_share": _share(_top_chars(words, n), size) for n in TOP_NGRAMS},
        **{
            f"duplicate_{n}gram_char_share": _share(_duplicate_chars(words, n), size)
            for n in DUPLICATE_NGRAMS
        },
    }


def _duplicates(parts: list[str]) -> tuple[int, int]:
    """How many of ``parts`` came before, and their characters."""
    seen: set[str] = set()
    again = [part for part in parts if part in seen or seen.add(part)]
    return len(again), sum(map(len, again))


def _top_chars(words: list[str], n: int) -> int:
    """Characters, with a space between words, of all copies of the most frequent n-gram."""
    grams = Counter(zip(*(words[i:] for i in range(n)), strict=False))
    if not grams:
        return 0
    gram, copies = grams.most_common(1)[0]
    return (sum(map(len, gram)) + n - 1) * copies


def _duplicate_chars(words: list[str], n: int) -> int:
    """Characters of n-grams that came before; each word counts once."""
    seen: set[tuple[str, ...]] = set()
    chars = place = 0
    while place + n <= len(words):
        gram = tuple(words[place : place + n])
        if gram in seen:
            chars += sum(map(len, gram))
            place += n
        else:
            seen.add(gram)
            place += 1
    return chars


def _fineweb_features(text: str, n_words: int) -> Mapping[str, float]:
    lines = [line for line in text.split("\n") if line.strip()]
    ends = re.compile(f"[{characters('terminal')}]\\Z")
    newlines = text.count("\n")
    return {
        "terminal_line_share": _share(sum(bool(ends.search(line)) for line in lines), len(lines)),
        "short_line_share": _share(sum(len(line) <= SHORT_LINE_CHARS for line in lines), len(lines)),
        "repeated_line_char_share": _share(_duplicates(lines)[1], len(text) - newlines),
        "newlines_per_word": _share(newlines, n_words),
    }


def _c4_features(text: str, prefix: str, *, ends: bool) -> Mapping[str, float]:
    """Counts over the lines that C4 keeps; ``ends``: only those with a mark at their end."""
    counts = dict.fromkeys(
        (f"{prefix}_{name}" for name in ("sentences", "lorem_ipsum_lines", "curly_bracket_lines")), 0
    )
    for line in text.splitlines():
        words = line.split()
        if len(words) < _C4_MIN_LINE_WORDS or any(len(word) > _C4_MAX_WORD_CHARS for word in words):
            continue
        kept = _CITATION.sub("", line.strip())
        if ends and (not kept.endswith((".", "?", "!", '"', "'")) or kept.endswith("...")):
            continue
        lower = kept.translate(_ASCII_LOWER)
        if "lorem ipsum" in lower:
            counts[f"{prefix}_lorem_ipsum_lines"] += 1
        elif "javascript" in lower:
            continue
        elif "{" in kept:
            counts[f"{prefix}_curly_bracket_lines"] += 1
        elif not any(policy in lower for policy in POLICY_PHRASES):
            counts[f"{prefix}_sentences"] += _n_sentences(kept)
    return counts


def _n_sentences(line: str) -> int:
    """spaCy's sentencizer: a sentence ends after a mark and the punctuation that follows it."""
    ends, punctuation = _all_of("sentence_end"), _all_of("punctuation")
    count, ended = 0, True
    for word in split_words(line):
        end = len(word) == 1 and ends.match(word) is not None
        if end:
            count, ended = max(count, 1), True
        elif (ended and not punctuation.match(word)) or not count:
            count, ended = count + 1, False
    return count
