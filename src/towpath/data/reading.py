"""Reading: a source into an artifact of records, its pieces side by side.

Goes out: an artifact of kind "records", one a source: everything that it gave, cleaned, as parts in
reading order, and ``parts.json``, which says how many rows and bytes of text each has. A row is a
document, or what could not become one: malformed (repaired, with the reason) or rejected (as found,
with the reason, the SHA-256 and size of its raw bytes).

Neighbouring pieces make a task together until their stored size reaches ``part_bytes``; a task fills
parts of its own, so which worker read it, and when, changes nothing. A killed task reads its pieces
again and keeps the parts it had.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from threading import Event, Thread
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from towpath.core.artifacts import Artifact, Draft, Store
from towpath.core.config import identity
from towpath.core.files import readable_json, write_durably
from towpath.core.progress import LINE_SECONDS, Progress, progress
from towpath.data import engine
from towpath.data.cleaners import CleanerConfig
from towpath.data.cleaning import clean
from towpath.data.config import DataConfig
from towpath.data.document import Document, Rejected
from towpath.data.parts import is_kept, keep_part, part_path, to_table
from towpath.data.sources import Piece, Source
from towpath.data.wellformed import gate, raw_bytes

if TYPE_CHECKING:
    import pyarrow as pa

KIND = "records"
INDEX = "parts.json"
_NO_PART_OF_A_RECORD = ("weight", "category")
"""Fields of a source that say what its text counts for in training."""


@dataclass(frozen=True, slots=True)
class Part:
    """One file of records and, under the same name, of features."""

    name: str
    rows: int
    size_bytes: int
    """Of its texts, in UTF-8."""


class Sized(Protocol):
    """What is grouped by its size: a piece, a part."""

    @property
    def size_bytes(self) -> int:
        """Of a piece as stored, of a part's texts in UTF-8."""
        ...


AnySized = TypeVar("AnySized", bound=Sized)


@dataclass(frozen=True)
class Limits:
    """How full a part is at most; a longer document has a part of its own."""

    size_bytes: int
    documents: int


@dataclass(frozen=True)
class Task:
    """Pieces that one worker reads, and where their records go."""

    source: Source
    pieces: tuple[Piece, ...]
    number: int
    limits: Limits
    cleaners: tuple[CleanerConfig, ...]
    draft: Draft

    @property
    def mark(self) -> str:
        """The name under which the task is marked done."""
        return f"task-{self.number:06d}"


@dataclass
class Batch:
    """Records that fill one part; ``reason`` is why one can't stay, None when it may."""

    documents: list[Document] = field(default_factory=list)
    reasons: list[str | None] = field(default_factory=list)
    raw: list[tuple[str, int] | None] = field(default_factory=list)
    """SHA-256 and size of those that can't stay, as found."""
    size_bytes: int = 0


def records_meaning(source: Source, config: DataConfig, fingerprint: str) -> dict[str, Any]:
    """What the records of ``source`` depend on."""
    facts = {name: value for name, value in identity(source).items() if name not in _NO_PART_OF_A_RECORD}
    return {
        "source": facts,
        "input": fingerprint,
        "cleaners": identity(config.cleaners),
        "part_bytes": config.part_bytes,
        "part_documents": config.part_documents,
    }


def make_records(store: Store, source: Source, config: DataConfig, fingerprint: str) -> Artifact:
    """Read ``source``, whose input has ``fingerprint``, to its end.

    Raises:
        DataError: a file can't be read.
    """
    meaning = records_meaning(source, config, fingerprint)
    return store.make(KIND, source.name, meaning, [], partial(_write, source=source, config=config))


def parts_of(records: Artifact) -> list[Part]:
    """The parts of an artifact of records, in reading order."""
    return [Part(**facts) for facts in json.loads((records.path / INDEX).read_bytes())]


def _write(draft: Draft, source: Source, config: DataConfig) -> None:
    limits = Limits(config.part_bytes, config.part_documents)
    tasks = [
        Task(source, pieces, number, limits, config.cleaners, draft)
        for number, pieces in enumerate(grouped(source.pieces(), config.part_bytes))
    ]
    parts: list[Part] = []
    with progress(f"reading {source.name}", unit="documents") as bar, _parts_shown(draft, source.name, bar):
        for found in engine.each(read_task, tasks):
            parts += found
            bar.advance(sum(part.rows for part in found))
    write_durably(draft.path / INDEX, readable_json([asdict(part) for part in parts]))
    draft.counts["records"] = sum(part.rows for part in parts)
    draft.licences = [source.licence]


@contextmanager
def _parts_shown(draft: Draft, source: str, bar: Progress) -> Iterator[None]:
    """Say now and then how many parts there are: one large file may take hours before a task ends."""
    end = Event()

    def watch() -> None:
        while not end.wait(LINE_SECONDS):
            bar.say(f"reading {source}: {len(list(draft.path.glob('part-*.parquet'))):,} parts are written")

    thread = Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join()


def grouped(items: Sequence[AnySized], size_bytes: int) -> Iterator[tuple[AnySized, ...]]:
    """Neighbours together until they hold ``size_bytes``: small ones are one task."""
    group: list[AnySized] = []
    for item in items:
        if group and sum(one.size_bytes for one in group) + item.size_bytes > size_bytes:
            yield tuple(group)
            group = []
        group.append(item)
    if group:
        yield tuple(group)


def read_task(task: Task) -> list[Part]:
    """Write the records of one task, unless an earlier attempt did, and tell its parts."""
    done = task.draft.fact_of(task.mark)
    if done is not None:
        parts = [Part(**facts) for facts in json.loads(done)]
        if all(is_kept(task.draft, task.draft.path / part.name) for part in parts):
            return parts
    parts = []
    for number, batch in enumerate(batches(_records(task), task.limits)):
        path = part_path(task.draft.path, task.number, number)
        keep_part(task.draft, path, partial(_table, batch, task.cleaners))
        parts.append(Part(path.name, len(batch.documents), batch.size_bytes))
    task.draft.mark_done(task.mark, json.dumps([asdict(part) for part in parts]))
    return parts


def _records(task: Task) -> Iterator[tuple[Document, str | None, tuple[str, int] | None]]:
    for piece in task.pieces:
        for item in task.source.read(piece):
            found = item.document if isinstance(item, Rejected) else item
            document, reason = gate(found)
            if isinstance(item, Rejected):
                reason = item.reason
            yield document, reason, None if reason is None else _seal_of(found)


def _seal_of(found: Document) -> tuple[str, int]:
    raw = raw_bytes(found.text)
    return hashlib.sha256(raw).hexdigest(), len(raw)


def batches(
    records: Iterable[tuple[Document, str | None, tuple[str, int] | None]], limits: Limits
) -> Iterator[Batch]:
    """``records`` in lists that each fill one part."""
    batch = Batch()
    for document, reason, raw in records:
        text = document.text
        size = len(text) if text.isascii() else len(text.encode())
        full = batch.size_bytes + size > limits.size_bytes or len(batch.documents) == limits.documents
        if batch.documents and full:
            yield batch
            batch = Batch()
        batch.documents.append(document)
        batch.reasons.append(reason)
        batch.raw.append(raw)
        batch.size_bytes += size
    if batch.documents:
        yield batch


def _table(batch: Batch, cleaners: Sequence[CleanerConfig]) -> pa.Table:
    import pyarrow as pa

    table = to_table(batch.documents).append_column("reason", pa.array(batch.reasons, pa.string()))
    table = clean(table, cleaners)
    digests = [raw and raw[0] for raw in batch.raw]
    sizes = [raw and raw[1] for raw in batch.raw]
    table = table.append_column("raw_sha256", pa.array(digests, pa.string()))
    return table.append_column("raw_bytes", pa.array(sizes, pa.int64()))
