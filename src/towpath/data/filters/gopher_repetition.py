"""Gopher's repetition rules: a text that says the same again and again is dropped.

Rae et al. 2021, arXiv:2112.11446, table A1: shares of lines and paragraphs that came before, of
characters in the most frequent 2- to 4-gram and in repeated 5- to 10-grams. Where the table leaves a
choice, datatrove 0.10.1's is taken (``kernels.text_features``).
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from towpath.data.document import Domain
from towpath.data.features import FeatureSet
from towpath.data.features.text import TextFeatures
from towpath.data.filters import FilterConfig, Rule


class GopherRepetitionConfig(FilterConfig):
    """Thresholds, those of table A1 by default."""

    type: Literal["gopher_repetition"] = "gopher_repetition"
    domains: tuple[Domain, ...] = ("prose",)
    """Kinds of text that the filter judges."""
    max_duplicate_paragraphs: float = Field(default=0.3, ge=0, le=1)
    """Texts with a larger share of paragraphs that came before are dropped."""
    max_duplicate_paragraph_chars: float = Field(default=0.2, ge=0, le=1)
    """The same by characters."""
    max_duplicate_lines: float = Field(default=0.3, ge=0, le=1)
    """Texts with a larger share of lines that came before are dropped."""
    max_duplicate_line_chars: float = Field(default=0.2, ge=0, le=1)
    """The same by characters."""
    max_top_ngram_chars: tuple[float, float, float] = (0.2, 0.18, 0.16)
    """Largest share of characters in all copies of the most frequent 2-, 3- and 4-gram."""
    max_duplicate_ngram_chars: tuple[float, float, float, float, float, float] = (
        0.15,
        0.14,
        0.13,
        0.12,
        0.11,
        0.1,
    )
    """Largest share of characters in 5- to 10-grams that came before."""

    def features(self) -> tuple[FeatureSet, ...]:
        """Lines, paragraphs and n-grams."""
        return (TextFeatures(),)

    def rules(self) -> tuple[Rule, ...]:
        """Table A1 from top to bottom."""
        tops = enumerate(self.max_top_ngram_chars, start=2)
        duplicates = enumerate(self.max_duplicate_ngram_chars, start=5)
        return (
            Rule("duplicate_paragraphs", f"duplicate_paragraph_share > {self.max_duplicate_paragraphs}"),
            Rule(
                "duplicate_paragraph_chars",
                f"duplicate_paragraph_char_share > {self.max_duplicate_paragraph_chars}",
            ),
            Rule("duplicate_lines", f"duplicate_line_share > {self.max_duplicate_lines}"),
            Rule("duplicate_line_chars", f"duplicate_line_char_share > {self.max_duplicate_line_chars}"),
            *(Rule(f"top_{n}gram", f"top_{n}gram_char_share > {most}") for n, most in tops),
            *(
                Rule(f"duplicate_{n}grams", f"duplicate_{n}gram_char_share > {most}")
                for n, most in duplicates
            ),
        )
