"""Gopher's quality rules: prose looks like prose.

Rae et al. 2021, arXiv:2112.11446, appendix A.1.1, "Quality filtering": bounds on the number of
words and their mean length, symbols, bullets, ellipses, words with a letter, stop words.
Deviation: a word is what stands between white space, as in the paper; punctuation stays with it.
The repetition rules of the same appendix are not here.
"""

from __future__ import annotations

from functools import partial
from typing import Literal

from pydantic import Field

from towpath.data.document import Document, Domain
from towpath.data.features import FeatureSet
from towpath.data.features.text import TextFeatures
from towpath.data.filters import KEEP, Filter, FilterConfig, Rule, Verdict, drop

STOP_WORDS = frozenset({"the", "be", "to", "of", "and", "that", "have", "with"})
"""The paper's eight."""

_BULLETS = ("-", "*", "•", "‣", "◦", "●", "–")
_ELLIPSES = ("...", "…")


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
    min_stop_words: int = Field(default=2, ge=0, le=len(STOP_WORDS))
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

    def build(self) -> Filter:
        """Drops by eight reasons, one a rule; the cheapest rules come first."""
        return partial(by_gopher, config=self)


def by_gopher(document: Document, config: GopherConfig) -> Verdict:
    """Judge by the first rule that ``document`` breaks."""
    words = document.text.split()
    reason = _by_words(words, config) or _by_symbols(document.text, len(words), config)
    reason = reason or _by_lines(document.text, config) or _by_letters(words, config)
    return drop(reason) if reason else KEEP


def _by_words(words: list[str], config: GopherConfig) -> str | None:
    if len(words) < config.min_words:
        return "too_few_words"
    if len(words) > config.max_words:
        return "too_many_words"
    mean_chars = sum(map(len, words)) / max(len(words), 1)
    if not config.min_mean_word_chars <= mean_chars <= config.max_mean_word_chars:
        return "mean_word_length_out_of_bounds"
    return None


def _by_symbols(text: str, n_words: int, config: GopherConfig) -> str | None:
    hashes = text.count("#")
    ellipses = sum(text.count(sign) for sign in _ELLIPSES)
    return "too_many_symbols" if max(hashes, ellipses) > config.max_symbols_per_word * n_words else None


def _by_lines(text: str, config: GopherConfig) -> str | None:
    lines = [line.strip() for line in text.splitlines() if not line.isspace() and line]
    bullets = sum(line.startswith(_BULLETS) for line in lines)
    if bullets > config.max_bullet_lines * len(lines):
        return "too_many_bullet_lines"
    ellipses = sum(line.endswith(_ELLIPSES) for line in lines)
    if ellipses > config.max_ellipsis_lines * len(lines):
        return "too_many_ellipsis_lines"
    return None


def _by_letters(words: list[str], config: GopherConfig) -> str | None:
    alphabetic = sum(word.isalpha() or any(map(str.isalpha, word)) for word in words)
    if alphabetic < config.min_alphabetic_words * len(words):
        return "too_few_alphabetic_words"
    if len(STOP_WORDS.intersection(map(str.lower, words))) < config.min_stop_words:
        return "too_few_stop_words"
    return None
