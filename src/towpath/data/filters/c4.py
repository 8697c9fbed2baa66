"""C4's rules for whole texts: no placeholder text, no code, enough sentences.

Raffel et al. 2020, JMLR 21 (2020) 140, section 2.2, and the code of TensorFlow Datasets for it: of the
lines with three words or more that end in a mark, without those about JavaScript and cookies, one
with "lorem ipsum" or a curly bracket drops the text, and so do fewer than five sentences.
Deviation: the text itself stays as it is, lines are cut by the cleaner ``boilerplate``; C4's list of
bad words is the filter ``profanity``.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from towpath.data.document import Domain
from towpath.data.features import FeatureSet
from towpath.data.features.text import TextFeatures
from towpath.data.filters import FilterConfig, Rule


class C4Config(FilterConfig):
    """Which of the rules hold."""

    type: Literal["c4"] = "c4"
    domains: tuple[Domain, ...] = ("prose",)
    """Kinds of text that the filter judges."""
    only_lines_with_end_mark: bool = True
    """Whether only lines that end in one of . ? ! " ' are looked at; FineWeb looks at all
    (arXiv:2406.17557, 3.5)."""
    min_sentences: int = Field(default=5, ge=0)
    """Texts with fewer sentences in those lines are dropped."""
    drop_lorem_ipsum: bool = True
    """Whether "lorem ipsum" drops a text."""
    drop_curly_brackets: bool = True
    """Whether an opening curly bracket drops a text."""

    def features(self) -> tuple[FeatureSet, ...]:
        """Counts over the lines that C4 keeps."""
        return (TextFeatures(),)

    def rules(self) -> tuple[Rule, ...]:
        """Up to three."""
        prefix = "c4" if self.only_lines_with_end_mark else "c4_any_end"
        rules = [Rule("too_few_sentences", f"{prefix}_sentences < {self.min_sentences}")]
        if self.drop_curly_brackets:
            rules.insert(0, Rule("curly_bracket", f"{prefix}_curly_bracket_lines > 0"))
        if self.drop_lorem_ipsum:
            rules.insert(0, Rule("lorem_ipsum", f"{prefix}_lorem_ipsum_lines > 0"))
        return tuple(rules)
