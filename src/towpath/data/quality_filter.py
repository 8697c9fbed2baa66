"""QualityFilter: the filters of this room for one text at a time, with the specification's names.

A string goes in, True (keep) or False comes out. It is for trying things out and for small jobs: a
pipeline judges columns of thousands of documents by the same rules (``towpath.data.judging``).

The rules are SQL expressions; here SQLite, in memory, evaluates them over one row. It agrees with
the engine on the expressions that rules are made of; numbers are bound as floating point, so that "/"
does not divide as integers do. Deviation: division by 0 gives null in SQLite, which keeps the text.
Deviation from the specification: it names a profanity filter and does not call it; here profanity is
one of the low quality indicators.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence

from towpath.data.document import Document
from towpath.data.filters import FilterConfig
from towpath.data.filters.gopher import GopherConfig
from towpath.data.filters.gopher_repetition import GopherRepetitionConfig
from towpath.data.filters.language import LanguageConfig
from towpath.data.filters.length import LengthConfig
from towpath.data.filters.profanity import ProfanityConfig

Value = str | int | float | bool | None


class QualityFilter:
    """Language, length and quality of a text, by filters that can be replaced."""

    def __init__(
        self,
        language: LanguageConfig | None = None,
        length: LengthConfig | None = None,
        quality: Sequence[FilterConfig] | None = None,
        profanity: ProfanityConfig | None = None,
    ) -> None:
        """None takes the filter's defaults; ``quality`` is by default Gopher's two sets of rules."""
        self.language = language or LanguageConfig()
        self.length = length or LengthConfig()
        self.quality = (GopherConfig(), GopherRepetitionConfig()) if quality is None else tuple(quality)
        self.profanity = profanity or ProfanityConfig()

    @property
    def language_detector(self) -> Callable[[str], tuple[str | None, float]]:
        """text -> (language, probability); no language for a text that the model knows nothing of."""
        return self._detect_language

    @property
    def profanity_filter(self) -> Callable[[str], bool]:
        """text -> whether it has more listed words than wanted."""
        return self._is_profane

    def filter_text(self, text: str) -> bool:
        """Whether to keep ``text``: in a wanted language, of a good length, without a sign of low quality."""
        if not self.is_english(text):
            return False
        if reasons_to_drop_text(text, [self.length]):
            return False
        return not self.low_quality_indicators(text)

    def is_english(self, text: str) -> bool:
        """Whether ``text`` is, surely enough, in one of the wanted languages: English by default."""
        return not reasons_to_drop_text(text, [self.language])

    def low_quality_indicators(self, text: str) -> tuple[str, ...]:
        """The reasons to drop ``text`` for its quality; empty for a good one."""
        return reasons_to_drop_text(text, [*self.quality, self.profanity])

    def _detect_language(self, text: str) -> tuple[str | None, float]:
        row = columns_of_text(text, [self.language])
        language, score = row["language"], row["language_score"]
        return (None if language is None else str(language)), float(score or 0.0)

    def _is_profane(self, text: str) -> bool:
        return bool(reasons_to_drop_text(text, [self.profanity]))


def reasons_to_drop_text(text: str, filters: Sequence[FilterConfig]) -> tuple[str, ...]:
    """The reasons of all rules of ``filters`` that drop ``text``, in their order."""
    row = columns_of_text(text, filters)
    rules = [rule for section in filters for rule in section.rules()]
    if not rules:
        return ()
    values = [float(value) if isinstance(value, int) else value for value in row.values()]
    columns = ", ".join(f'? AS "{name}"' for name in row)
    expressions = ", ".join(f"({rule.drop_when})" for rule in rules)
    connection = sqlite3.connect(":memory:")
    try:
        (found,) = connection.execute(f"SELECT {expressions} FROM (SELECT {columns})", values).fetchall()
    finally:
        connection.close()
    return tuple(rule.reason for rule, drops in zip(rules, found, strict=True) if drops)


def columns_of_text(text: str, filters: Sequence[FilterConfig]) -> Mapping[str, Value]:
    """What the feature sets of ``filters`` compute of ``text``: column -> value."""
    from towpath.data.parts import to_table

    table = to_table([Document(id="0" * 32, text=text, source="text", domain="prose")])
    row: dict[str, Value] = {"characters": len(text)}
    distinct = dict.fromkeys(features for section in filters for features in section.features())
    for features in distinct:
        row |= features.compute(table).to_pylist()[0]
    return row
