"""The light way to write a filter: a function of one document that says why to drop it.

For a rule that no column of a feature set tells. It runs as Python, document by document, so it is
slow beside columns, and its answer is kept: it is computed anew when a setting of it changes.

    class NoRiddles(DocumentFilter):
        type: Literal["no_riddles"] = "no_riddles"
        reasons: ClassVar = ("riddle",)

        def judge(self, document: Document) -> Verdict:
            return drop("riddle") if document.text.startswith("What has") else KEEP
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import SerializeAsAny

from towpath.core.errors import ConfigError
from towpath.data.document import Document
from towpath.data.features import FeatureSet
from towpath.data.filters import FilterConfig, Rule, Verdict
from towpath.data.parts import to_documents

if TYPE_CHECKING:
    import pyarrow as pa


class DocumentFilter(FilterConfig):
    """Write ``judge`` and name its ``reasons``."""

    reasons: ClassVar[tuple[str, ...]]
    """Every reason that ``judge`` may give."""

    def judge(self, document: Document) -> Verdict:
        """KEEP, or ``drop`` with one of ``reasons``. What it says depends on the document alone."""
        raise NotImplementedError

    @property
    def column(self) -> str:
        """The column that holds the reason, null for documents that stay."""
        return f"{type(self).model_fields['type'].default}_reason"

    def features(self) -> tuple[FeatureSet, ...]:
        """The one column."""
        return (Verdicts(judged_by=self),)

    def rules(self) -> tuple[Rule, ...]:
        """A rule a reason."""
        return tuple(Rule(reason, f"{self.column} = '{reason}'") for reason in self.reasons)


class Verdicts(FeatureSet):
    """What a ``DocumentFilter`` says of each document, as a column."""

    judged_by: SerializeAsAny[DocumentFilter]

    def columns(self) -> pa.Schema:
        """The reason, a string."""
        import pyarrow as pa

        return pa.schema([(self.judged_by.column, pa.string())])

    def compute(self, documents: pa.Table) -> pa.Table:
        """The reason of each document, null for those that stay or are of another kind."""
        import pyarrow as pa

        reasons = [self._reason(document) for document in to_documents(documents)]
        return pa.Table.from_arrays([pa.array(reasons, pa.string())], schema=self.columns())

    def _reason(self, document: Document) -> str | None:
        if document.domain not in self.judged_by.domains:
            return None
        reason = self.judged_by.judge(document).reason
        if reason is not None and reason not in self.judged_by.reasons:
            raise ConfigError(
                f"{type(self.judged_by).__name__}.judge gave the reason {reason!r}, which is not among its "
                f"reasons: {', '.join(self.judged_by.reasons)}. Add it there."
            )
        return reason
