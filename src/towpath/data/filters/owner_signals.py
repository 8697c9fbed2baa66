"""Owner-signals filter: pages whose owner asked not to be trained on are left out.

The sources of web pages record the signals; this is the policy. By default the two that speak of
AI training are honoured. ``tdm_reservation`` reserves rights to text and data mining in general
(in the European Union, article 4 of Directive 2019/790 makes that binding for commercial miners),
and ``noindex`` and ``noarchive`` speak to search engines: they are there for a stricter policy.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from towpath.data.features import FeatureSet
from towpath.data.features.owner_signals import OwnerSignals
from towpath.data.filters import FilterConfig, Rule

Signal = Literal["noai", "train_ai", "tdm_reservation", "noindex", "nofollow", "noarchive"]


class OwnerSignalsConfig(FilterConfig):
    """Which wishes of a page's owner are honoured."""

    type: Literal["owner_signals"] = "owner_signals"
    honour: tuple[Signal, ...] = Field(default=("noai", "train_ai"), min_length=1)
    """Signals that drop a document: noai (robots meta or header), train_ai (the AI-preferences
    header says no), tdm_reservation (TDMRep), noindex, nofollow, noarchive (robots)."""

    def features(self) -> tuple[FeatureSet, ...]:
        """The signals as columns."""
        return (OwnerSignals(),)

    def rules(self) -> tuple[Rule, ...]:
        """``owner_says_noai`` and so on, in the order of ``honour``."""
        return tuple(Rule(f"owner_says_{_said(signal)}", _holds(signal)) for signal in self.honour)


def _said(signal: Signal) -> str:
    return "no_ai_training" if signal == "train_ai" else signal


def _holds(signal: Signal) -> str:
    return "NOT owner_train_ai" if signal == "train_ai" else f"owner_{signal}"
