"""Boilerplate cleaner: lines that belong to a page's frame are cut, the rest of the text stays.

The rules for lines are those of C4 (Raffel et al. 2020, arXiv:1910.10683, section 2.2, and the
phrases of its published code): lines that speak of JavaScript, of cookies or of a privacy policy,
lines with too few words or without a full stop at the end. Deviations: the last two are off unless
asked for, since they cut headings and verse; "lorem ipsum" and curly brackets cost a line here, for
which C4 drops the page (the filter "c4" does). Menus, several very short lines in a row without a full
stop, are this project's own rule.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from towpath.data.cleaners import Cleaned, CleanerConfig
from towpath.data.cleaners.changed_rows import with_changed
from towpath.data.document import Domain
from towpath.data.kernels.text_features import POLICY_PHRASES

if TYPE_CHECKING:
    import pyarrow as pa

_SENTENCE_ENDS = (".", "!", "?", '"', "”", "’", "…", "。", "！", "？")
_PUNCTUATION = (*_SENTENCE_ENDS, ",", ";", ":", "'", ")", "-", "—")
_WORD_CHARS = 24  # a line of a menu has no longer words on average
_NO_MENU = "End."
_EMPTY_LINES = re.compile(r"\n{3,}")


class BoilerplateConfig(CleanerConfig):
    """Which lines go."""

    type: Literal["boilerplate"] = "boilerplate"
    domains: tuple[Domain, ...] = ("prose",)
    """Kinds of text that the cleaner changes."""
    javascript_lines: bool = True
    """Whether lines with the word "javascript" go."""
    policy_lines: bool = True
    """Whether lines with one of ``policy_phrases`` go."""
    policy_phrases: tuple[str, ...] = POLICY_PHRASES
    """Lower-case phrases; C4's by default."""
    lorem_ipsum_lines: bool = True
    """Whether lines with "lorem ipsum" go."""
    curly_bracket_lines: bool = False
    """Whether lines with a curly bracket go; it would cost LaTeX and templates their text."""
    only_terminated_lines: bool = False
    """Whether lines that don't end in . ! ? or a quotation mark go."""
    min_line_words: int = Field(default=0, ge=0)
    """Lines with fewer words go; C4 has 5. 0 keeps all."""
    max_word_chars: int | None = Field(default=1_000, ge=1)
    """Lines with a longer word go; C4's number. None keeps all."""
    min_menu_lines: int | None = Field(default=8, ge=2)
    """This many lines in a row of at most ``max_menu_words`` words each, none ending in punctuation, are
    a menu and go. None keeps them."""
    max_menu_words: int = Field(default=3, ge=1)
    """Words in a line of a menu, at most."""

    def clean(self, texts: pa.Array) -> Cleaned:
        """``n_edits`` is the number of lines cut."""
        import numpy as np
        import pyarrow.compute as pc

        n_edits = np.zeros(len(texts), np.int32)
        changed: dict[int, str] = {}
        phrase = self._phrase()
        # Arrow's linear-time expressions say where a phrase stands at all, Python then in which line.
        has_phrase = [False] * len(texts)
        if phrase:
            has_phrase = pc.call_function(
                "match_substring_regex", [texts], pc.MatchSubstringOptions(phrase.pattern, ignore_case=True)
            ).to_pylist()
        for row, text in enumerate(texts.to_pylist()):
            lines = (text or "").split("\n")
            cut = self._menus(lines) | self._lines_to_cut(lines, phrase if has_phrase[row] else None)
            if cut:
                kept = "\n".join(line for number, line in enumerate(lines) if number not in cut)
                changed[row], n_edits[row] = _EMPTY_LINES.sub("\n\n", kept).strip(), len(cut)
        return Cleaned(with_changed(texts, changed), n_edits)

    def _phrase(self) -> re.Pattern[str] | None:
        phrases = [
            *(["javascript"] if self.javascript_lines else []),
            *(self.policy_phrases if self.policy_lines else ()),
            *(["lorem ipsum"] if self.lorem_ipsum_lines else []),
            *(["{", "}"] if self.curly_bracket_lines else []),
        ]
        return re.compile("|".join(map(re.escape, phrases)), re.IGNORECASE) if phrases else None

    def _lines_to_cut(self, lines: Sequence[str], phrase: re.Pattern[str] | None) -> set[int]:
        max_chars = self.max_word_chars
        return {
            number
            for number, line in enumerate(lines)
            if (phrase and phrase.search(line))
            or (max_chars and len(line) > max_chars and max(map(len, line.split()), default=0) > max_chars)
            or (self.only_terminated_lines and line.strip() and not line.rstrip().endswith(_SENTENCE_ENDS))
            or (self.min_line_words and line.strip() and len(line.split()) < self.min_line_words)
        }

    def _menus(self, lines: Sequence[str]) -> set[int]:
        if self.min_menu_lines is None or len(lines) < self.min_menu_lines:
            return set()
        found: set[int] = set()
        run: list[int] = []
        for number, line in enumerate([*lines, _NO_MENU]):
            if self._may_be_of_a_menu(line):
                run.append(number)
            elif line.strip():  # empty lines may stand between a menu's
                found.update(run if len(run) >= self.min_menu_lines else ())
                run = []
        return found

    def _may_be_of_a_menu(self, line: str) -> bool:
        if len(line) > self.max_menu_words * _WORD_CHARS:
            return False
        words = line.split()
        return 0 < len(words) <= self.max_menu_words and not words[-1].endswith(_PUNCTUATION)
