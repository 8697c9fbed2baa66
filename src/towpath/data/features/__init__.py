"""Features: what is computed of every document once, as columns beside its text.

A filter names the feature sets that it needs and judges by rules over their columns, so that a
threshold can change without computing anything anew. To add one: a ``FeatureSet`` with ``columns``
and ``compute``, returned by a filter's ``features``. Its fields are what changes the numbers;
thresholds are not among them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from towpath.core.config import Section

if TYPE_CHECKING:
    import pyarrow as pa


class FeatureSet(Section):
    """Columns that are computed together. Two that are equal are computed once."""

    def columns(self) -> pa.Schema:
        """Names and types of the columns; a name belongs to one kind of feature set alone."""
        raise NotImplementedError

    def compute(self, documents: pa.Table) -> pa.Table:
        """A row for each of ``documents``, in their order, with those columns.

        ``documents`` has the columns of ``document_schema``. A row depends on its document alone.
        """
        raise NotImplementedError
