"""Classes of characters and the English exceptions that the kernel ``text_features`` reads.

Two files beside this one hold them (each names its source), so that the kernel and the Python beside
it see the same characters whatever Unicode version this Python has.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np

_N_CODE_POINTS = 0x110000
_NAMES = (
    "space",
    "letter",
    "symbol",
    "terminal",
    "alpha",
    "lower",
    "upper",
    "affix",
    "prefix",
    "currency",
    "icon",
    "quote",
    "punctuation",
    "sentence_end",
    "line_break",
    "before_dot",
)
UNITS = (
    "km km² km³ m m² m³ dm dm² dm³ cm cm² cm³ mm mm² mm³ ha µm nm yd in ft kg g mg µg t lb oz m/s km/h kmh "
    "mph hPa Pa mbar mb MB kb KB gb GB tb TB T G M K % км км² км³ м м² м³ дм дм² дм³ см см² см³ мм мм² мм³ "
    "нм кг г мг м/с км/ч кПа Па мбар Кб КБ кб Мб МБ мб Гб ГБ гб Тб ТБ US$ C$ A$"
).split()
"""What is split off after a digit (spaCy's list)."""


@cache
def class_table() -> np.ndarray:
    """uint16, (1,114,112,): for each code point the bits of its classes, in the order of ``_NAMES``."""
    table = np.zeros(_N_CODE_POINTS, np.uint16)
    for first, last, bits in _rows():
        table[first : last + 1] = bits
    return table


@cache
def characters(name: str) -> str:
    """The characters of a class as the inside of a regular expression's brackets."""
    bit = 1 << _NAMES.index(name)
    return "".join(f"\\U{first:08x}-\\U{last:08x}" for first, last, bits in _rows() if bits & bit)


@cache
def english_exceptions() -> dict[str, tuple[str, ...]]:
    """What the English tokenizer splits in its own way: the string and its tokens."""
    rows = _lines("english_tokens.txt")
    return {"".join(tokens): tokens for tokens in (tuple(row.split(" ")) for row in rows)}


@cache
def _rows() -> list[tuple[int, int, int]]:
    rows = (row.split() for row in _lines("character_classes.txt"))
    return [(int(first, 16), int(last, 16), int(bits, 16)) for first, last, bits in rows]


def _lines(name: str) -> list[str]:
    text = Path(__file__).with_name(name).read_text(encoding="utf-8")
    return [line for line in text.split("\n") if line and not line.startswith("# ")]
