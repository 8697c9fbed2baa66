"""FineWeb's own rules: lists, menus and lines said twice.

Penedo et al. 2024, arXiv:2406.17557, section 3.6: lines that end in a mark, characters in lines that
came before, short lines; and datatrove 0.10.1's rule on newlines per word. Blank lines don't count.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from towpath.data.document import Domain
from towpath.data.features import FeatureSet
from towpath.data.features.text import TextFeatures
from towpath.data.filters import FilterConfig, Rule


class FineWebConfig(FilterConfig):
    """Thresholds, by default those of datatrove 0.10.1, the code that FineWeb was made with."""

    type: Literal["fineweb"] = "fineweb"
    domains: tuple[Domain, ...] = ("prose",)
    """Kinds of text that the filter judges."""
    min_terminal_lines: float = Field(default=0.12, ge=0, le=1)
    """Texts with a smaller share of lines that end in a mark (of any script) are dropped."""
    max_short_lines: float = Field(default=0.67, ge=0, le=1)
    """Texts with a larger share of lines of 30 characters or fewer are dropped."""
    max_repeated_line_chars: float = Field(default=0.01, ge=0, le=1)
    """Texts with a larger share of characters in lines that came before are dropped (datatrove's
    default)."""
    max_newlines_per_word: float = Field(default=0.3, ge=0)
    """Texts with more newlines for each word are dropped."""

    def features(self) -> tuple[FeatureSet, ...]:
        """Lines."""
        return (TextFeatures(),)

    def rules(self) -> tuple[Rule, ...]:
        """In datatrove's order."""
        return (
            Rule("too_few_terminal_lines", f"terminal_line_share < {self.min_terminal_lines}"),
            Rule("too_many_short_lines", f"short_line_share > {self.max_short_lines}"),
            Rule("too_many_repeated_lines", f"repeated_line_char_share > {self.max_repeated_line_chars}"),
            Rule("too_many_newlines", f"newlines_per_word > {self.max_newlines_per_word}"),
        )
