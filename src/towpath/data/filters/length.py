"""Length filter: keep texts that are neither fragments nor dumps."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from towpath.data.features import FeatureSet
from towpath.data.features.length import LengthFeatures
from towpath.data.filters import FilterConfig, Rule


class LengthConfig(FilterConfig):
    """Bounds on the number of characters."""

    type: Literal["length"] = "length"
    min_chars: int = Field(default=100, ge=0)
    """Shorter texts are dropped."""
    max_chars: int = Field(default=100_000, ge=1)
    """Longer texts are dropped."""

    @model_validator(mode="after")
    def _bounds_leave_room(self) -> LengthConfig:
        if self.min_chars > self.max_chars:
            raise ValueError(
                f"min_chars = {self.min_chars} is more than max_chars = {self.max_chars}: nothing could pass."
            )
        return self

    def features(self) -> tuple[FeatureSet, ...]:
        """The number of characters."""
        return (LengthFeatures(),)

    def rules(self) -> tuple[Rule, ...]:
        """Drops ``too_short`` and ``too_long``."""
        return (
            Rule("too_short", f"n_chars < {self.min_chars}"),
            Rule("too_long", f"n_chars > {self.max_chars}"),
        )
