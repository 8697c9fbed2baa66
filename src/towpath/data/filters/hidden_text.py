"""Hidden text filter: drop texts with characters that a reader doesn't see and a model does.

A zero-width space in a long word is ordinary on the web, so some are let through; tags and marks that
turn the direction of Latin text have no honest use there. The bounds are this project's own choice.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from towpath.data.features import FeatureSet
from towpath.data.features.hidden_text import HiddenTextFeatures
from towpath.data.filters import FilterConfig, Rule


class HiddenTextConfig(FilterConfig):
    """How much of each kind a text may hold; None sets no bound."""

    type: Literal["hidden_text"] = "hidden_text"
    max_zero_width: int | None = Field(default=50, ge=0)
    """Texts with more zero-width characters are dropped."""
    max_direction_marks: int | None = Field(default=20, ge=0)
    """Texts with more embeddings, overrides and isolates of direction are dropped. Pages that mix Arabic
    or Hebrew with Latin need some."""
    max_tags: int | None = Field(default=0, ge=0)
    """Texts with more tag characters and supplementary variation selectors are dropped."""
    max_look_alike_words: int | None = Field(default=3, ge=0)
    """Texts with more Latin words that hold Cyrillic or Greek look-alikes are dropped."""

    def features(self) -> tuple[FeatureSet, ...]:
        """Counts by kind."""
        return (HiddenTextFeatures(),)

    def rules(self) -> tuple[Rule, ...]:
        """One reason a kind."""
        bounds = {
            "zero_width": self.max_zero_width,
            "direction_marks": self.max_direction_marks,
            "tags": self.max_tags,
            "look_alike_words": self.max_look_alike_words,
        }
        return tuple(
            Rule(f"hidden_{kind}", f"hidden_{kind} > {bound}")
            for kind, bound in bounds.items()
            if bound is not None
        )
