"""Gopher's quality rules: prose looks like prose.

Rae et al. 2021, arXiv:2112.11446, appendix A.1.1, "Quality filtering": bounds on the number of
words and their mean length, symbols, bullets, ellipses, words with a letter, stop words. Words and
symbols are told apart as datatrove 0.10.1 does (``kernels.text_features``), so decisions agree with it;
a share of "words" with a letter counts symbols among them.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from towpath.data.document import Domain
from towpath.data.features import FeatureSet
from towpath.data.features.text import TextFeatures
from towpath.data.filters import FilterConfig, Rule


class GopherConfig(FilterConfig):
    """Thresholds, the paper's by default."""

    type: Literal["gopher"] = "gopher"
    domains: tuple[Domain, ...] = ("prose",)
    """Kinds of text that the filter judges."""
    min_words: int = Field(default=50, ge=0)
    """Texts with fewer words are dropped."""
    max_words: int = Field(default=100_000, ge=1)
    """Texts with more words are dropped."""
    min_mean_word_chars: float = Field(default=3.0, ge=0)
    """Texts of shorter words on average are dropped."""
    max_mean_word_chars: float = Field(default=10.0, ge=0)
    """Texts of longer words on average are dropped."""
    max_symbols_per_word: float = Field(default=0.1, ge=0)
    """Texts with more hash signs, or more ellipses, for each word are dropped."""
    max_bullet_lines: float = Field(default=0.9, ge=0, le=1)
    """Texts with a larger share of lines that start with a bullet are dropped."""
    max_ellipsis_lines: float = Field(default=0.3, ge=0, le=1)
    """Texts with a larger share of lines that end with an ellipsis are dropped."""
    min_alphabetic_words: float = Field(default=0.8, ge=0, le=1)
    """Texts with a smaller share of words that hold a letter are dropped."""
    min_stop_words: int = Field(default=2, ge=0, le=8)
    """Texts with fewer of the eight stop words, each counted once, are dropped."""

    def features(self) -> tuple[FeatureSet, ...]:
        """Words and lines."""
        return (TextFeatures(),)

    def rules(self) -> tuple[Rule, ...]:
        """The paper's, in its order."""
        symbols = self.max_symbols_per_word
        return (
            Rule("too_few_words", f"n_words < {self.min_words}"),
            Rule("too_many_words", f"n_words > {self.max_words}"),
            Rule(
                "mean_word_length_out_of_bounds",
                f"mean_word_chars < {self.min_mean_word_chars}"
                f" OR mean_word_chars > {self.max_mean_word_chars}",
            ),
            Rule("too_many_symbols", f"hashes_per_word > {symbols} OR ellipses_per_word > {symbols}"),
            Rule("too_many_bullet_lines", f"bullet_line_share > {self.max_bullet_lines}"),
            Rule("too_many_ellipsis_lines", f"ellipsis_line_share > {self.max_ellipsis_lines}"),
            Rule("too_few_alphabetic_words", f"alphabetic_word_share < {self.min_alphabetic_words}"),
            Rule("too_few_stop_words", f"n_stop_words < {self.min_stop_words}"),
        )
