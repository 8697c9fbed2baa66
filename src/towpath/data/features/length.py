"""Length features: the number of characters of a text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from towpath.data.features import FeatureSet

if TYPE_CHECKING:
    import pyarrow as pa


class LengthFeatures(FeatureSet):
    """How long a text is."""

    def columns(self) -> pa.Schema:
        """``n_chars``, in code points."""
        import pyarrow as pa

        return pa.schema([("n_chars", pa.int64())])

    def compute(self, documents: pa.Table) -> pa.Table:
        """A row for each of ``documents``."""
        import pyarrow as pa
        import pyarrow.compute as pc

        sizes = pc.utf8_length(documents["text"]).cast(pa.int64()).fill_null(0)  # pyright: ignore[reportAttributeAccessIssue]
        return pa.table([sizes], schema=self.columns())
