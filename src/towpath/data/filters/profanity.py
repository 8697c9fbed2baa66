"""Profanity filter: texts with more listed words than wanted are dropped.

Raffel et al. 2020, JMLR 21, 2.2: C4 drops a page with any word of the list, which is the default here.
The lists hold words that are harmless in many texts, and that rule removes texts by and about
minorities more often than others (Dodge et al. 2021, arXiv:2104.08758): a bound on the
share of characters, or the columns alone for a mixture, is the milder use.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from towpath.data.document import Domain
from towpath.data.features import FeatureSet
from towpath.data.features.profanity import ProfanityFeatures
from towpath.data.filters import FilterConfig, Rule


class ProfanityConfig(FilterConfig):
    """Which lists count, and how much is too much."""

    type: Literal["profanity"] = "profanity"
    domains: tuple[Domain, ...] = ("prose", "chat")
    """Kinds of text that the filter judges."""
    lists: tuple[str, ...] = Field(default=("en",), max_length=27)
    """Languages of the packaged lists (LDNOOBW, CC BY 4.0)."""
    paths: tuple[str, ...] = Field(default=(), max_length=5)
    """Files of further lists, UTF-8, one phrase a line."""
    max_count: int | None = Field(default=0, ge=0)
    """Texts with more listed phrases are dropped; None: the count does not matter."""
    max_char_share: float | None = Field(default=None, ge=0, le=1)
    """Texts with a larger share of characters in listed phrases are dropped; None: it does not matter."""

    @model_validator(mode="after")
    def _lists_are_known(self) -> ProfanityConfig:
        self.features()
        return self

    def features(self) -> tuple[FeatureSet, ...]:
        """Counts of listed phrases."""
        return (ProfanityFeatures(lists=self.lists, paths=self.paths),)

    def rules(self) -> tuple[Rule, ...]:
        """Up to two."""
        rules = []
        if self.max_count is not None:
            rules.append(Rule("profanity", f"profanities > {self.max_count}"))
        if self.max_char_share is not None:
            rules.append(Rule("dense_profanity", f"profanity_char_share > {self.max_char_share}"))
        return tuple(rules)
