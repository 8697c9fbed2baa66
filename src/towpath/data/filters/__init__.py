"""Filters: which documents are dropped, and for which reason.

A filter names feature columns and rules over them, SQL expressions that are true for what is dropped;
the columns are computed once and the rules of all filters are evaluated together, so another threshold
costs nothing. To add one: a file with a ``FilterConfig`` and a line in ``FILTERS``; or a rule in the run
file (``towpath.data.filters.rule``); or a function of one document
(``towpath.data.filters.document_filter``). ``domains`` says which kinds of text a filter judges, so
that rules for prose leave code alone; documents of other kinds pass it unseen.
"""

from __future__ import annotations

from dataclasses import dataclass

from towpath.core.catalogue import Catalogue
from towpath.core.config import Section
from towpath.data.document import Domain
from towpath.data.features import FeatureSet

FILTERS = Catalogue(
    "filter",
    {
        "c4": "towpath.data.filters.c4:C4Config",
        "code": "towpath.data.filters.code:CodeConfig",
        "classifier": "towpath.data.filters.classifier:ClassifierConfig",
        "fineweb": "towpath.data.filters.fineweb:FineWebConfig",
        "gopher": "towpath.data.filters.gopher:GopherConfig",
        "gopher_repetition": "towpath.data.filters.gopher_repetition:GopherRepetitionConfig",
        "hidden_text": "towpath.data.filters.hidden_text:HiddenTextConfig",
        "language": "towpath.data.filters.language:LanguageConfig",
        "length": "towpath.data.filters.length:LengthConfig",
        "owner_signals": "towpath.data.filters.owner_signals:OwnerSignalsConfig",
        "pii": "towpath.data.filters.pii:PiiConfig",
        "profanity": "towpath.data.filters.profanity:ProfanityConfig",
        "rule": "towpath.data.filters.rule:RuleConfig",
        "secrets": "towpath.data.filters.secrets:SecretsConfig",
    },
    group="towpath.filters",
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a filter says of a document: ``reason`` is why it is dropped, None keeps it."""

    reason: str | None


KEEP = Verdict(None)


def drop(reason: str) -> Verdict:
    """The verdict that drops a document; the waterfall counts it under ``reason``."""
    return Verdict(reason)


@dataclass(frozen=True, slots=True)
class Rule:
    """A reason to drop, and when it holds."""

    reason: str
    """What the waterfall counts it under: lower case with underscores."""
    drop_when: str
    """SQL expression over the columns of the filter's features, true for what is dropped; a null
    keeps the document."""


class FilterConfig(Section):
    """What every filter has."""

    domains: tuple[Domain, ...] = ("prose", "chat", "code")
    """Kinds of text that the filter judges."""

    def features(self) -> tuple[FeatureSet, ...]:
        """The columns that the rules are about."""
        raise NotImplementedError

    def rules(self) -> tuple[Rule, ...]:
        """When a document is dropped, in the order in which a reason is named."""
        raise NotImplementedError
