"""A rule of one's own in the run file: drop what an SQL expression over feature columns says.

[[data.filters]]
type = "rule"
reason = "short_english"
drop_when = "n_words < 50 AND language = 'en'"
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from towpath.data.features import FeatureSet
from towpath.data.filters import FILTERS, FilterConfig, Rule


class RuleConfig(FilterConfig):
    """One reason and when it holds."""

    type: Literal["rule"] = "rule"
    reason: str = Field(pattern="^[a-z][a-z0-9_]*$")
    """What the waterfall counts it under."""
    drop_when: str
    """SQL expression that is true for what is dropped: comparisons, AND, OR, NOT, arithmetic, IN, IS
    NULL over the columns of all filters' features, and over source, domain, licence, url, path, date,
    n_edits and characters. A null keeps the document."""
    columns_of: tuple[Annotated[FilterConfig, FILTERS.choice()], ...] = ()
    """Filters whose columns the expression needs and whose own rules are not wanted."""

    def features(self) -> tuple[FeatureSet, ...]:
        """Those of ``columns_of``."""
        return tuple(found for section in self.columns_of for found in section.features())

    def rules(self) -> tuple[Rule, ...]:
        """The one rule."""
        return (Rule(self.reason, self.drop_when),)
