"""Owner signals: what a page's owner said about its use, from the document's ``meta``.

``towpath.data.sources.web_signals`` says where the signals come from. A document without any, for
example from a book, has false everywhere and a null preference.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from towpath.data.features import FeatureSet

if TYPE_CHECKING:
    import pyarrow as pa

DIRECTIVES = ("noai", "noindex", "nofollow", "noarchive")
"""Robots directives that have a column, ``owner_`` before the name."""


class OwnerSignals(FeatureSet):
    """What the page's owner allows."""

    def columns(self) -> pa.Schema:
        """A column for each of ``DIRECTIVES``, ``owner_train_ai`` (null when not said) and
        ``owner_tdm_reservation``; all boolean."""
        import pyarrow as pa

        names = (*(f"owner_{name}" for name in DIRECTIVES), "owner_train_ai", "owner_tdm_reservation")
        return pa.schema([(name, pa.bool_()) for name in names])

    def compute(self, documents: pa.Table) -> pa.Table:
        """A row for each of ``documents``, from their column ``meta``."""
        import pyarrow as pa

        rows = [_row(meta) for meta in documents["meta"].to_pylist()]
        return pa.Table.from_pylist(rows, schema=self.columns())


def _row(meta: str | None) -> dict[str, bool | None]:
    signals: dict[str, Any] = json.loads(meta) if meta else {}
    directives = {part.strip() for part in str(signals.get("robots", "")).split(",")}
    train_ai = signals.get("train_ai")
    return {
        **{f"owner_{name}": name in directives for name in DIRECTIVES},
        "owner_train_ai": train_ai if isinstance(train_ai, bool) else None,
        "owner_tdm_reservation": signals.get("tdm_reservation") is True,
    }
