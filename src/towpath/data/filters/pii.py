"""Personal data filter: drop texts that hold much of it, where masking is not wanted.

The default bounds leave a page with its own contact lines; a list of addresses goes. They are this
project's own choice. With the cleaner "pii" on, there is nothing left to count.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from towpath.data.features import FeatureSet
from towpath.data.features.pii import PiiFeatures, column_of
from towpath.data.filters import FilterConfig, Rule
from towpath.data.personal_data import KINDS, PersonalDataKind


class PiiConfig(FilterConfig):
    """How much of each kind a text may hold; None sets no bound."""

    type: Literal["pii"] = "pii"
    max_emails: int | None = Field(default=5, ge=0)
    """Texts with more e-mail addresses are dropped."""
    max_phones: int | None = Field(default=10, ge=0)
    """Texts with more telephone numbers are dropped."""
    max_ips: int | None = Field(default=10, ge=0)
    """Texts with more IP addresses are dropped."""
    max_ibans: int | None = Field(default=0, ge=0)
    """Texts with more IBANs are dropped."""
    max_cards: int | None = Field(default=0, ge=0)
    """Texts with more payment card numbers are dropped."""
    max_keys: int | None = Field(default=0, ge=0)
    """Texts with more keys, tokens and passwords are dropped."""
    private_addresses: bool = False
    """Whether IP addresses of private and reserved networks count."""

    def features(self) -> tuple[FeatureSet, ...]:
        """Counts by kind."""
        return (PiiFeatures(private_addresses=self.private_addresses),)

    def rules(self) -> tuple[Rule, ...]:
        """``too_many_emails`` and so on, one a kind."""
        bounds: list[tuple[PersonalDataKind, int | None]] = [
            (kind, getattr(self, f"max_{kind}s")) for kind in KINDS
        ]
        return tuple(
            Rule(f"too_many_{kind}s", f"{column_of(kind)} > {bound}")
            for kind, bound in bounds
            if bound is not None
        )
