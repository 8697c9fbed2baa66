"""Reading: every source, document by document, into parts on disk.

Every record of the input becomes a row: documents, malformed ones (repaired, with the reason) and
rejected records (as found, with the reason). A source's index file, written last, says how many
rows its parts have; a killed attempt reads the source again and keeps the parts it had.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from towpath.core.artifacts import Draft
from towpath.core.files import readable_json, write_durably
from towpath.core.progress import Progress, progress
from towpath.data.config import DataConfig
from towpath.data.document import Document, Rejected
from towpath.data.parts import keep_part, part_path, to_table
from towpath.data.sources import Source
from towpath.data.wellformed import gate

if TYPE_CHECKING:
    import pyarrow as pa

_INDEX = "index.json"


@dataclass(frozen=True, slots=True)
class Record:
    """One thing that a source gave; ``reason`` is why it can't stay, None when it may."""

    document: Document
    reason: str | None


def read_source(source: Source, config: DataConfig, draft: Draft, folder: Path) -> None:
    """Write the documents of ``source`` as parts below ``folder``."""
    if rows_of_parts(folder) is not None:
        return
    rows: list[int] = []
    with progress(f"reading {source.name}", unit="documents") as bar:
        for batch in batches(_records(source, bar), config):
            keep_part(draft, part_path(folder, len(rows)), partial(_table, batch))
            rows.append(len(batch))
    folder.mkdir(parents=True, exist_ok=True)
    write_durably(folder / _INDEX, readable_json(rows))


def rows_of_parts(folder: Path) -> list[int] | None:
    """How many rows each part below ``folder`` has; None when the source is not read to its end."""
    index = folder / _INDEX
    return json.loads(index.read_bytes()) if index.exists() else None


def batches(records: Iterable[Record], config: DataConfig) -> Iterator[list[Record]]:
    """``records`` in lists that each fill one part; a long document gets a part of its own."""
    batch: list[Record] = []
    size_bytes = 0
    for record in records:
        record_bytes = len(record.document.text.encode())
        too_large = size_bytes + record_bytes > config.part_bytes
        if batch and (too_large or len(batch) == config.part_documents):
            yield batch
            batch, size_bytes = [], 0
        batch.append(record)
        size_bytes += record_bytes
    if batch:
        yield batch


def _records(source: Source, bar: Progress) -> Iterator[Record]:
    for item in source.documents():
        if isinstance(item, Rejected):
            yield Record(gate(item.document)[0], item.reason)
        else:
            yield Record(*gate(item))
        bar.advance()


def _table(batch: list[Record]) -> pa.Table:
    import pyarrow as pa

    table = to_table([record.document for record in batch])
    table = table.append_column("reason", pa.array([record.reason for record in batch], pa.string()))
    return table.append_column("row", pa.array(range(len(batch)), pa.int64()))
