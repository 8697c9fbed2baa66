"""Filters: a document goes in, KEEP or a reason to drop it comes out.

To add one: a file with a ``FilterConfig`` and a function ``(document) -> Verdict``, and a line in
``FILTERS``. ``domains`` says which kinds of text a filter judges, so that rules for prose leave
code alone; documents of other kinds pass it unseen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from towpath.core.catalogue import Catalogue
from towpath.core.config import Section
from towpath.data.document import Document, Domain
from towpath.data.features import FeatureSet

FILTERS = Catalogue(
    "filter",
    {
        "code": "towpath.data.filters.code:CodeConfig",
        "gopher": "towpath.data.filters.gopher:GopherConfig",
        "language": "towpath.data.filters.language:LanguageConfig",
        "length": "towpath.data.filters.length:LengthConfig",
        "pii": "towpath.data.filters.pii:PiiConfig",
        "secrets": "towpath.data.filters.secrets:SecretsConfig",
    },
    group="towpath.filters",
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a filter says of a document: ``reason`` is why it is dropped, None keeps it."""

    reason: str | None


KEEP = Verdict(None)

Filter = Callable[[Document], Verdict]


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

    def build(self) -> Filter:
        """The filter as a function, which can be sent to other processes."""
        raise NotImplementedError


def reason_to_drop(document: Document, filters: Sequence[tuple[FilterConfig, Filter]]) -> str | None:
    """The reason of the first of ``filters`` that drops ``document``; None when all keep it."""
    for config, judge in filters:
        if document.domain in config.domains:
            verdict = judge(document)
            if verdict.reason is not None:
                return verdict.reason
    return None
