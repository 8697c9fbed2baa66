"""Data: dumps and folders of text in, clean documents out. Makes ``Document``.

``make_documents`` reads sources into records, computes columns of features for each, drops by rules over
them what is malformed, what the filters reject and duplicates, holds out validation documents by hash
of their content, and writes Parquet; ``Documents`` reads that. Every record of the input is kept or
dropped with a reason, and dropped ones stay beside the kept. To add a source, a cleaner or a filter: one
file in ``sources/``, ``cleaners/`` or ``filters/`` and one line in its catalogue; ``DocumentFilter`` is
the light way to a filter, and ``reasons_to_drop`` tries filters on documents in memory. Knows nothing of
tokens and needs no torch; what works on data is imported when it is first asked for, so that the
settings alone load quickly.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from towpath.data.cleaners import CLEANERS
from towpath.data.config import DataConfig, NearDuplicatesConfig
from towpath.data.document import Document, Message, Rejected
from towpath.data.filters import FILTERS
from towpath.data.sources import SOURCES

if TYPE_CHECKING:
    from towpath.data.documents import Documents, waterfall_table
    from towpath.data.filters.document_filter import DocumentFilter
    from towpath.data.judging import reasons_to_drop
    from towpath.data.pipeline import make_documents
    from towpath.data.quality_filter import QualityFilter

__all__ = [
    "CLEANERS",
    "FILTERS",
    "SOURCES",
    "DataConfig",
    "Document",
    "DocumentFilter",
    "Documents",
    "Message",
    "NearDuplicatesConfig",
    "QualityFilter",
    "Rejected",
    "make_documents",
    "reasons_to_drop",
    "waterfall_table",
]

_AT_WORK = {
    "Documents": "towpath.data.documents",
    "DocumentFilter": "towpath.data.filters.document_filter",
    "QualityFilter": "towpath.data.quality_filter",
    "make_documents": "towpath.data.pipeline",
    "reasons_to_drop": "towpath.data.judging",
    "waterfall_table": "towpath.data.documents",
}


def __getattr__(name: str) -> Any:
    if name in _AT_WORK:
        return getattr(import_module(_AT_WORK[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
