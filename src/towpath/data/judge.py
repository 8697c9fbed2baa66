"""Judging: documents in, one row of facts for each out, beside the text and not in it.

A row holds the reason to drop the document, if there is one, and for those that stay the hash of
their normalised text and their MinHash signature. Later decisions (duplicates, the split) read
these narrow rows and never the text.
MinHash: Broder 1997; the hashes are the engine's own.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from towpath.data import engine
from towpath.data.config import DataConfig, NearDuplicatesConfig
from towpath.data.document import Document
from towpath.data.filters import Filter, FilterConfig, reason_to_drop
from towpath.data.parts import to_documents

if TYPE_CHECKING:
    import pyarrow as pa

HASH_BYTES = 16
_SEEN_BY_FILTERS = ("id", "text", "source", "domain", "url", "path", "byte_offset", "licence", "date")
_WORD = re.compile(r"\w+")


def judge_part(path: Path, config: DataConfig) -> pa.Table:
    """The judged rows of the part ``path``, in its order: the columns of ``judged_schema``."""
    near = config.near_duplicates
    filters = [(section, section.build()) for section in config.filters]
    frame = engine.read_parquet([path], [*_SEEN_BY_FILTERS, "reason", "row"])
    frame = frame.map_batches(partial(_judge_rows, filters=filters), _facts_schema())
    frame = frame.replace_by_minhash("words", "signature", signature_length(near), near.shingle_words)
    return frame.to_table().sort_by("row").select(judged_schema().names).cast(judged_schema())


def signature_length(near: NearDuplicatesConfig) -> int:
    """Hashes in a signature."""
    return near.bands * near.hashes_per_band


def judged_schema() -> pa.Schema:
    """Columns of a judged row; ``row`` is its place in the part."""
    import pyarrow as pa

    words = _facts_schema().get_field_index("words")
    return _facts_schema().set(words, pa.field("signature", pa.list_(pa.uint32())))


def _facts_schema() -> pa.Schema:
    import pyarrow as pa

    return pa.schema(
        [
            ("row", pa.int64()),
            ("id", pa.string()),
            ("licence", pa.string()),
            ("characters", pa.int64()),
            ("reason", pa.string()),
            ("content_hash", pa.binary()),
            ("words", pa.large_string()),
        ]
    )


def _judge_rows(table: pa.Table, filters: Sequence[tuple[FilterConfig, Filter]]) -> pa.Table:
    import pyarrow as pa

    rows = [
        {"row": row, **facts(document, malformed or reason_to_drop(document, filters))}
        for document, malformed, row in zip(
            to_documents(table), table["reason"].to_pylist(), table["row"].to_pylist(), strict=True
        )
    ]
    return pa.Table.from_pylist(rows, schema=_facts_schema())


def facts(document: Document, reason: str | None) -> dict[str, Any]:
    """What is known of one document; no hash and no words when it is dropped already."""
    kept = reason is None
    return {
        "id": document.id,
        "licence": document.licence,
        "characters": len(document.text),
        "reason": reason,
        "content_hash": content_hash(document.text) if kept else None,
        "words": words(document.text) if kept else None,
    }


def content_hash(text: str) -> bytes:
    """128 bits of BLAKE2b of ``text`` in lower case with single spaces: equal for exact duplicates."""
    normalised = " ".join(text.lower().split())
    return hashlib.blake2b(normalised.encode(), digest_size=HASH_BYTES).digest()


def words(text: str) -> str | None:
    """The words of ``text`` without punctuation, single spaces between; None when it has none."""
    return " ".join(_WORD.findall(text.lower())) or None
