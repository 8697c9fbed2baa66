"""Parts: documents as Parquet files whose bytes depend on the documents alone.

Zstandard, one row group a part, fixed writer settings, reading order; written beside their place,
flushed, then renamed. ``keep_part`` is what makes a killed run go on where it stopped: a part counts
as done when its SHA-256 is the one in its mark, so one that was cut short or changed is made again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from towpath.core.artifacts import Draft
from towpath.core.files import sha256_of, write_durably
from towpath.data.document import Document, Message, Meta

if TYPE_CHECKING:
    import pyarrow as pa

_ZSTD_LEVEL = 3
_ROWS_AT_A_TIME = 1_024
_REPEATING = ("source", "domain", "licence", "reason", "split", "language")


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


def part_path(folder: Path, task: int, number: int) -> Path:
    """The path of part ``number`` of what task ``task`` wrote below ``folder``."""
    return folder / f"part-{task:06d}-{number:05d}.parquet"


def part_paths(folder: Path) -> list[Path]:
    """The parts below ``folder`` in reading order."""
    return sorted(folder.glob("part-*.parquet"))


def keep_bytes(draft: Draft, path: Path, make: Callable[[], bytes]) -> None:
    """Write what ``make`` gives to ``path``, unless an earlier attempt did and it is still as written."""
    if not is_kept(draft, path):
        draft.mark_done(_mark(draft, path), _write(path, make()))


def keep_part(draft: Draft, path: Path, make: Callable[[], pa.Table]) -> None:
    """Write what ``make`` returns to ``path``, unless an earlier attempt did and it is still as written."""
    if not is_kept(draft, path):
        draft.mark_done(_mark(draft, path), write_table(path, make()))


def is_kept(draft: Draft, path: Path) -> bool:
    """Whether ``path`` is there with the bytes that its mark tells."""
    digest = draft.fact_of(_mark(draft, path))
    return digest is not None and path.exists() and sha256_of(path) == digest


def _mark(draft: Draft, path: Path) -> str:
    return path.relative_to(draft.path).as_posix().replace("/", ".")


def write_table(path: Path, table: pa.Table) -> str:
    """Write ``table`` durably and return the file's SHA-256; the same table gives the same bytes."""
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
    return _write(path, buffer.getvalue().to_pybytes())


def _write(path: Path, content: bytes) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_durably(path, content)
    return hashlib.sha256(content).hexdigest()


def read_table(path: Path, columns: list[str] | None = None) -> pa.Table:
    """A part, or some of its columns."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        return file.read(columns, use_threads=False)


def to_table(documents: Sequence[Document]) -> pa.Table:
    """``documents`` as rows."""
    import pyarrow as pa

    arrays = [pa.array(_cells(documents, field.name), field.type) for field in document_schema()]
    return pa.Table.from_arrays(arrays, schema=document_schema())


def _cells(documents: Sequence[Document], name: str) -> list[Any]:
    values = list(map(attrgetter(name), documents))
    if name == "messages":
        return [turns and [{"role": one.role, "content": one.content} for one in turns] for turns in values]
    return [meta_json(meta) for meta in values] if name == "meta" else values


def meta_json(meta: Meta) -> str | None:
    """``meta`` as a cell."""
    return json.dumps(dict(meta), sort_keys=True, ensure_ascii=False) if meta else None


def to_documents(table: pa.Table) -> Iterator[Document]:
    """The rows of ``table`` as documents; other columns are ignored, and some fields may be missing."""
    names = [name for name in document_schema().names if name in table.column_names]
    for batch in table.select(names).to_batches(_ROWS_AT_A_TIME):
        for row in batch.to_pylist():
            turns = row.pop("messages", None)
            messages = None if turns is None else tuple(Message(**turn) for turn in turns)
            meta = json.loads(row.pop("meta", None) or "{}")
            yield Document(**row, messages=messages, meta=meta)
