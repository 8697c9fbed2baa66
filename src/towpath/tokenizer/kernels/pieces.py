r"""The patterns that the kernels know, and the kinds of characters that they are made of.

``kinds`` and ``rules`` are what the kernels get; ``reference_pieces`` cuts with Python's ``re`` instead.
The kinds come from a file beside this one, so that they do not depend on a library's Unicode version.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import numpy as np

_KINDS = {"L": 1, "N": 2, "S": 3, "R": 4}
_N_CODE_POINTS = 0x110000

_APOSTROPHES = {
    "'s|'t|'re|'ve|'m|'ll|'d": 0,
    "'(?:[sdmtSDMT]|[lL][lL]|[vV][eE]|[rR][eE])": 1,
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)": 2,
}
_DIGITS = {r"\p{N}": 1, r"\p{N}{1,2}": 2, r"\p{N}{1,3}": 3}
_GPT2 = r"| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_GPT4 = r"|[^\r\n\p{L}\p{N}]?\p{L}+|DIGITS| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


@cache
def rules_of(pattern: str) -> np.ndarray | None:
    """What the kernels need to know of ``pattern``, int32, (3,); None when they do not know it.

    GPT-4's form or not, digits of a piece, and in which cases an apostrophe's letters are taken.
    """
    return _known_patterns().get(pattern)


@cache
def _known_patterns() -> dict[str, np.ndarray]:
    rules = {}
    for apostrophe, cases in _APOSTROPHES.items():
        rules[apostrophe + _GPT2] = np.array([0, 0, cases], np.int32)
        for digits, most in _DIGITS.items():
            rules[apostrophe + _GPT4.replace("DIGITS", digits)] = np.array([1, most, cases], np.int32)
    return rules


@cache
def kinds() -> np.ndarray:
    """uint8, (1,114,112,): 1 letter, 2 number, 3 white space, 4 line feed or carriage return, 0 other."""
    table = np.zeros(_N_CODE_POINTS, np.uint8)
    for first, last, kind in _rows():
        table[first : last + 1] = _KINDS[kind]
    return table


def characters(kinds_wanted: str) -> str:
    """The characters of some kinds (letters of the file) as the inside of a regular expression's brackets."""
    return "".join(f"\\U{first:08x}-\\U{last:08x}" for first, last, kind in _rows() if kind in kinds_wanted)


@cache
def _rows() -> list[tuple[int, int, str]]:
    text = Path(__file__).with_name("character_kinds.txt").read_text(encoding="utf-8")
    rows = [line.split() for line in text.splitlines() if not line.startswith("#")]
    return [(int(first, 16), int(last, 16), kind) for first, last, kind in rows]


def reference_pieces(text: str, pattern: str) -> list[str]:
    """The pieces of ``text`` by ``pattern``, by Python's ``re``."""
    return [match.group() for match in _compiled(pattern).finditer(text)]


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    classes = {r"\p{L}": characters("L"), r"\p{N}": characters("N"), r"\s": characters("SR")}
    parts = []
    for part in re.split(r"(\[[^\]]*\])", pattern.replace(r"\S", r"[^\s]")):
        for name, inside in classes.items():
            part = part.replace(name, inside if part.startswith("[") else f"[{inside}]")
        parts.append(part)
    return re.compile("".join(parts))
