"""Hidden text: characters that a reader doesn't see and a model does, counted.

Counted are zero-width characters, characters that turn the direction of text (Boucher and Anderson 2021,
arXiv:2111.00169), tag characters and supplementary variation selectors, which can carry a whole
message (Unicode Technical Report 36), and Latin words with Cyrillic or Greek letters that look Latin
(Unicode Technical Standard 39). What a script or an emoji needs is not counted: joiners between letters that
are not Latin, between emoji, and the tags of a flag. Text in the colour of its background is gone
before: extraction from HTML knows no colours.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

from towpath.data.features import FeatureSet

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

COLUMNS = (
    "hidden_zero_width",
    "hidden_direction_marks",
    "hidden_tags",
    "hidden_look_alike_words",
)

_LATIN = r"[\x21-\x7e\u00a1-\u024f]"
_ZERO_WIDTH = re.compile(rf"[\u200b\u2060-\u2064\ufeff\u180e\u2800]|(?<={_LATIN})[\u200c\u200d](?={_LATIN})")
_DIRECTION_MARKS = re.compile("[\u202a-\u202e\u2066-\u2069]")
_FLAG = re.compile("\U0001f3f4[\U000e0030-\U000e007a]{2,6}\U000e007f")
_TAGS = re.compile("[\U000e0000-\U000e007f\U000e0100-\U000e01ef]")

_CYRILLIC_LOOK_ALIKES = "АВЕЅІЈКМНОРСТХаеорсухіјѕһԁԛԝ"
_GREEK_LOOK_ALIKES = "ΑΒΕΖΗΙΚΜΝΟΡΤΥΧο"
_LOOK_ALIKES = frozenset(_CYRILLIC_LOOK_ALIKES + _GREEK_LOOK_ALIKES)
_WORD = re.compile(rf"[A-Za-z{_CYRILLIC_LOOK_ALIKES}{_GREEK_LOOK_ALIKES}]{{4,64}}")
_MIN_LATIN_LETTERS = 2

_HINT = (
    r"[\x{180e}\x{200b}-\x{200d}\x{202a}-\x{202e}\x{2060}-\x{2069}\x{2800}\x{feff}\x{e0000}-\x{e01ef}]"
    rf"|[A-Za-z][{_CYRILLIC_LOOK_ALIKES}{_GREEK_LOOK_ALIKES}]|[{_CYRILLIC_LOOK_ALIKES}{_GREEK_LOOK_ALIKES}][A-Za-z]"
)
"""A text without any of these has nothing to count; Arrow's expressions (RE2) say so for a column."""


class HiddenTextFeatures(FeatureSet):
    """How many hidden characters of each kind a text has, int32."""

    type: Literal["hidden_text"] = "hidden_text"

    def columns(self) -> pa.Schema:
        """One column a kind."""
        import pyarrow as pa

        return pa.schema([(name, pa.int32()) for name in COLUMNS])

    def compute(self, documents: pa.Table) -> pa.Table:
        """Counts of each document."""
        import numpy as np
        import pyarrow as pa

        texts = documents.column("text").combine_chunks()
        counts = np.zeros((len(COLUMNS), len(texts)), np.int32)
        rows = _rows_with_a_hint(texts)
        for row, text in zip(rows.tolist(), texts.take(pa.array(rows)).to_pylist(), strict=True):
            counts[:, row] = count_hidden(text)
        return pa.Table.from_arrays([pa.array(column) for column in counts], schema=self.columns())


def count_hidden(text: str) -> tuple[int, int, int, int]:
    """Zero-width characters, direction marks, tag characters and words of look-alikes of ``text``."""
    words = sum(_is_of_look_alikes(word) for word in _WORD.findall(text))
    tags = len(_TAGS.findall(_FLAG.sub("", text)))
    return len(_ZERO_WIDTH.findall(text)), len(_DIRECTION_MARKS.findall(text)), tags, words


def _is_of_look_alikes(word: str) -> bool:
    if word.isascii():
        return False
    latin = sum(map(str.isascii, word))
    return latin >= _MIN_LATIN_LETTERS and latin < len(word)


def _rows_with_a_hint(texts: pa.Array) -> np.ndarray:
    import numpy as np
    import pyarrow.compute as pc

    found = pc.call_function("match_substring_regex", [texts], pc.MatchSubstringOptions(_HINT))
    return np.flatnonzero(found.fill_null(False).to_numpy(False))
