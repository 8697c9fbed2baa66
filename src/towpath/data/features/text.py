"""Text features: what the rules of Gopher, C4 and FineWeb are about, a column each.

A table with ``text`` comes in; the columns of ``kernels.text_features`` go out: counts as int64, means
and shares as float64, never null or NaN. One feature set for all three filters, so each text is read
once. The words are English ones; in languages without spaces they mean little.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from towpath.data.features import FeatureSet

if TYPE_CHECKING:
    import pyarrow as pa


class TextFeatures(FeatureSet):
    """Words, lines, paragraphs, repeated n-grams and sentences of a text."""

    def columns(self) -> pa.Schema:
        """``NAMES`` of the kernel."""
        import pyarrow as pa

        from towpath.data.kernels.text_features import C4_COUNTS, COUNTS, NAMES

        whole = {*COUNTS, *C4_COUNTS}
        return pa.schema([(name, pa.int64() if name in whole else pa.float64()) for name in NAMES])

    def compute(self, documents: pa.Table) -> pa.Table:
        """A row for each of ``documents``."""
        import pyarrow as pa

        from towpath.core.texts import Texts
        from towpath.data.kernels.text_features import text_features

        columns, schema = text_features(Texts.of(documents["text"])), self.columns()
        return pa.table([pa.array(columns[name]) for name in schema.names], schema=schema)
