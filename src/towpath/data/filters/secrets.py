"""Secrets filter: drop files that hold keys or tokens, where masking them is not wanted.

What is assigned to a name like ``password`` is a guess by its entropy, so its bound is separate.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from towpath.data.document import Domain
from towpath.data.features import FeatureSet
from towpath.data.features.secrets import SecretsFeatures, column_of
from towpath.data.filters import FilterConfig, Rule
from towpath.data.secrets import SECRET_KINDS


class SecretsConfig(FilterConfig):
    """How many secrets a text may hold; None sets no bound."""

    type: Literal["secrets"] = "secrets"
    domains: tuple[Domain, ...] = ("code",)
    """Kinds of text that the filter judges."""
    max_of_known_form: int | None = Field(default=0, ge=0)
    """Texts with more keys of one kind that is known by its form are dropped."""
    max_assigned: int | None = Field(default=0, ge=0)
    """Texts with more values that look random, assigned to a name like ``api_key``, are dropped."""

    def features(self) -> tuple[FeatureSet, ...]:
        """Counts by kind."""
        return (SecretsFeatures(),)

    def rules(self) -> tuple[Rule, ...]:
        """``secret_private_key`` and so on, one a kind."""
        return tuple(
            Rule(f"secret_{kind}", f"{column_of(kind)} > {bound}")
            for kind in SECRET_KINDS
            if (bound := self.max_assigned if kind == "assigned" else self.max_of_known_form) is not None
        )
