"""Parts: documents as Parquet files whose bytes depend on the documents alone.

Zstandard, one row group a part, fixed writer settings, reading order; written beside their place,
flushed, then renamed. ``keep_part`` is what makes a killed run go on where it stopped.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from towpath.core.artifacts import Draft
from towpath.core.files import write_durably
from towpath.data.document import Document, Message

if TYPE_CHECKING:
    import pyarrow as pa

_ZSTD_LEVEL = 3
_ROWS_AT_A_TIME = 1_024
_REPEATING = ("source", "domain", "licence", "reason", "split")


def document_schema() -> pa.Schema:
    """Columns of a kept document, named as the fields of ``Document``; ``meta`` is JSON, null if empty."""
    import pyarrow as pa

    message = pa.struct([("role", pa.string()), ("content", pa.large_string())])
    return pa.schema(
        [
            ("id", pa.string()),
            ("text", pa.large_string()),
            ("source", pa.string()),
            ("domain", pa.string()),
            ("url", pa.string()),
            ("path", pa.string()),
            ("byte_offset", pa.int64()),
            ("licence", pa.string()),
            ("date", pa.string()),
            ("messages", pa.list_(message)),
            ("meta", pa.string()),
        ]
    )


def part_path(folder: Path, number: int) -> Path:
    """The path of part ``number`` below ``folder``."""
    return folder / f"part-{number:05d}.parquet"


def part_paths(folder: Path) -> list[Path]:
    """The parts below ``folder`` in reading order."""
    return sorted(folder.glob("part-*.parquet"))


def keep_part(draft: Draft, path: Path, make: Callable[[], pa.Table]) -> None:
    """Write what ``make`` returns to ``path``, unless an earlier attempt finished that."""
    part = path.relative_to(draft.path).as_posix().replace("/", ".")
    if draft.is_done(part) and path.exists():
        return
    write_table(path, make())
    draft.mark_done(part)


def write_table(path: Path, table: pa.Table) -> None:
    """Write ``table`` durably; the same table gives the same bytes."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    buffer = pa.BufferOutputStream()
    repeating = [name for name in _REPEATING if name in table.column_names]
    pq.write_table(
        table,
        buffer,
        row_group_size=max(table.num_rows, 1),
        compression="zstd",
        compression_level=_ZSTD_LEVEL,
        use_dictionary=repeating,  # pyright: ignore[reportArgumentType]
        write_statistics=False,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_durably(path, buffer.getvalue().to_pybytes())


def read_table(path: Path, columns: list[str] | None = None) -> pa.Table:
    """A part, or some of its columns."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        return file.read(columns)


def to_table(documents: Sequence[Document]) -> pa.Table:
    """``documents`` as rows."""
    import pyarrow as pa

    arrays = [
        pa.array([_cell(document, field.name) for document in documents], field.type)
        for field in document_schema()
    ]
    return pa.Table.from_arrays(arrays, schema=document_schema())


def _cell(document: Document, name: str) -> Any:
    value = getattr(document, name)
    if name == "messages" and value is not None:
        return [{"role": message.role, "content": message.content} for message in value]
    if name == "meta":
        return json.dumps(dict(value), sort_keys=True, ensure_ascii=False) if value else None
    return value


def to_documents(table: pa.Table) -> Iterator[Document]:
    """The rows of ``table`` as documents; other columns are ignored, and some fields may be missing."""
    names = [name for name in document_schema().names if name in table.column_names]
    for batch in table.select(names).to_batches(_ROWS_AT_A_TIME):
        for row in batch.to_pylist():
            turns = row.pop("messages", None)
            messages = None if turns is None else tuple(Message(**turn) for turn in turns)
            meta = json.loads(row.pop("meta", None) or "{}")
            yield Document(**row, messages=messages, meta=meta)
