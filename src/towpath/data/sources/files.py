"""Files of one's own: text and Markdown, JSON lines, Parquet; a file, a folder or a glob.

A text file is one document, or several: a line that holds the separator alone ends one, and a long
text is cut, so that a whole book is many documents and not one that is too long.
A JSON line or a Parquet row is one document and is never cut. ``byte_offset`` counts in the file
after decompression. Of a text or JSON file that is cut short or damaged, what comes before is read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

from pydantic import Field

from towpath.core.errors import DataError
from towpath.data.document import Document, Message, Rejected, Role
from towpath.data.sources.file_source import FileSource
from towpath.data.sources.found import kind_of
from towpath.data.sources.json_records import read_json
from towpath.data.sources.limits import MAX_DOCUMENT_BYTES, SHOWN_BYTES
from towpath.data.sources.streams import Line, damage_named, read_lines
from towpath.data.wellformed import read_utf8

if TYPE_CHECKING:
    import pyarrow as pa

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_PARQUET_ROWS = 256


class FilesSource(FileSource):
    """Text, Markdown, JSON lines or Parquet files."""

    suffixes: ClassVar = (".txt", ".md", ".jsonl", ".parquet")

    type: Literal["files"] = "files"
    path: str
    """A file, a folder (with those below it) or a glob of .txt, .md, .jsonl or .parquet files; the
    first three also as .gz, .bz2 or .zst."""
    text_field: str = "text"
    """Field of a JSON line, or column of a Parquet file, that holds the text. A record without it
    may hold "messages", a list of {role, content}. "url" and "date" are taken where they are."""
    separator: str | None = "<|endoftext|>"
    """A line of a text file that holds only this ends a document."""
    cut_bytes: int | None = Field(default=20_000, ge=1, le=MAX_DOCUMENT_BYTES)
    """Text files are cut into documents of at most so many bytes: at a blank line, else at a line's
    end, else at a space; None leaves them whole. A line or a document of more than 16 MiB is rejected as
    "record_too_long"."""
    max_record_bytes: int = Field(default=MAX_DOCUMENT_BYTES, ge=1)
    """Longer JSON lines are rejected as "record_too_long" without being parsed."""

    def read_file(self, path: Path, place: str) -> Iterator[Document | Rejected]:
        """Every document of one file."""
        if kind_of(path) == ".parquet":
            return self._from_parquet(path, place)
        if kind_of(path) == ".jsonl":
            return self._from_json_lines(path, place)
        return self._from_text(path, place)

    def _from_text(self, path: Path, place: str) -> Iterator[Document | Rejected]:
        separator = self.separator.encode() if self.separator else None
        for piece in cut(read_lines(path), separator, self.cut_bytes):
            if piece.problem:
                yield self._problem(piece, place)
            else:
                text = read_utf8(piece.raw).replace("\r\n", "\n")
                yield self.document(text, path=place, byte_offset=piece.byte_offset)

    def _from_json_lines(self, path: Path, place: str) -> Iterator[Document | Rejected]:
        for line in read_lines(path, self.max_record_bytes):
            if line.problem:
                yield self._problem(line, place)
            elif not line.raw.isspace():
                yield self._from_json(line, place)

    def _problem(self, line: Line, place: str) -> Rejected:
        found = self.document(read_utf8(line.raw), path=place, byte_offset=line.byte_offset)
        return Rejected(found, line.problem or "")

    def _from_json(self, line: Line, place: str) -> Document | Rejected:
        record, reason = read_json(line.raw)
        document = None if reason else self._from_record(record, place, line.byte_offset)
        raw = self.document(read_utf8(line.raw), path=place, byte_offset=line.byte_offset)
        return document or Rejected(raw, reason or "no_text")

    def _from_parquet(self, path: Path, place: str) -> Iterator[Document | Rejected]:
        import pyarrow.parquet

        with damage_named(path), pyarrow.parquet.ParquetFile(path) as file:
            columns = file.schema_arrow.names
            if not {self.text_field, "messages"}.intersection(columns):
                raise DataError(
                    f"{path} has no column {self.text_field!r}; it has: {', '.join(columns)}. "
                    "Name the one that holds the text in text_field."
                )
            wanted = [name for name in (self.text_field, "messages", "url", "date") if name in columns]
            row = 0
            for batch in file.iter_batches(_PARQUET_ROWS, columns=wanted):
                for record in _with_raw(batch, self.text_field).to_pylist():
                    document = self._from_record(record, f"{place}#{row}", None)
                    yield document or Rejected(self.document("", path=f"{place}#{row}"), "no_text")
                    row += 1

    def _from_record(self, record: Any, place: str, offset: int | None) -> Document | None:
        if not isinstance(record, Mapping):
            return None
        messages = read_messages(record.get("messages"))
        text = record.get(self.text_field)
        if isinstance(text, bytes):
            text = read_utf8(text)
        if not isinstance(text, str):
            if messages is None:
                return None
            text = "\n".join(message.content for message in messages)
        return self.document(
            text,
            path=place,
            byte_offset=offset,
            url=_string(record.get("url")),
            date=_string(record.get("date")),
            messages=messages,
        )


def cut(lines: Iterable[Line], separator: bytes | None, cut_bytes: int | None) -> Iterator[Line]:
    """Documents of a text file with their places; blank ones are left out, and words stay whole.

    What is wrong with a line comes through in its place, and a document of more than
    ``MAX_DOCUMENT_BYTES`` is "record_too_long". Memory use is that of one document.
    """
    piece = _Piece()
    for line in lines:
        if line.problem or (separator is not None and line.raw.strip() == separator):
            yield from piece.taken()
            if line.problem:
                yield line
            continue
        is_whole = line.byte_offset and (cut_bytes is None or len(line.raw) <= cut_bytes)
        for offset, stretch in [line[:2]] if is_whole else _stretches(line, cut_bytes):
            while cut_bytes is not None and piece.raw and len(piece.raw) + len(stretch) > cut_bytes:
                after_blank = piece.blank_end if piece.blank_end >= max(cut_bytes // 2, 1) else None
                yield from piece.taken(after_blank)
            piece.add(offset, stretch)
    yield from piece.taken()


@dataclass
class _Piece:
    """What has been read of a document."""

    raw: bytearray = field(default_factory=bytearray)
    start: int = 0
    blank_end: int = 0
    """Its size after its last blank line."""
    too_long: bool = False

    def add(self, offset: int, stretch: bytes) -> None:
        """Append ``stretch``, which stands at ``offset``."""
        if not self.raw:
            self.start = offset
        if self.too_long or len(self.raw) + len(stretch) > MAX_DOCUMENT_BYTES:
            self.too_long = True
            self.raw += stretch[: max(SHOWN_BYTES - len(self.raw), 0)]
            return
        self.raw += stretch
        if stretch.isspace():
            self.blank_end = len(self.raw)

    def taken(self, end: int | None = None) -> Iterator[Line]:
        """The document up to ``end``, unless it is blank; what comes after it stays."""
        raw = bytes(self.raw[:end])
        if self.too_long:
            yield Line(self.start, raw[:SHOWN_BYTES], "record_too_long")
        elif raw.strip():
            yield Line(self.start, raw)
        self.start += len(raw)
        del self.raw[:end]
        self.blank_end, self.too_long = 0, False


def _stretches(line: Line, cut_bytes: int | None) -> Iterator[tuple[int, bytes]]:
    """``line`` in stretches of at most ``cut_bytes`` that end after a space, longer where there is none."""
    raw = line.raw
    start = len(_BYTE_ORDER_MARK) if line.byte_offset == 0 and raw.startswith(_BYTE_ORDER_MARK) else 0
    while cut_bytes is not None and len(raw) - start > cut_bytes:
        end = raw.rfind(b" ", start, start + cut_bytes) + 1 or raw.find(b" ", start + cut_bytes) + 1
        yield line.byte_offset + start, raw[start : end or len(raw)]
        start = end or len(raw)
    if start < len(raw):
        yield line.byte_offset + start, raw[start:]


def read_messages(value: Any) -> tuple[Message, ...] | None:
    """``value`` as the turns of a chat, or None when it is none."""
    if not isinstance(value, list) or not value:
        return None
    turns = [turn if isinstance(turn, Mapping) else {} for turn in value]
    if not all(turn.get("role") in get_args(Role) and isinstance(turn.get("content"), str) for turn in turns):
        return None
    return tuple(Message(turn["role"], turn["content"]) for turn in turns)


def _with_raw(batch: pa.RecordBatch, column: str) -> pa.RecordBatch:
    """``batch`` with the strings of ``column`` as bytes, which need not be UTF-8."""
    import pyarrow as pa

    if column not in batch.schema.names:
        return batch
    values = batch.column(column)
    if not (pa.types.is_string(values.type) or pa.types.is_large_string(values.type)):
        return batch
    return batch.set_column(batch.schema.get_field_index(column), column, values.cast(pa.large_binary()))


def _string(value: Any) -> str | None:
    return value if isinstance(value, str) else None
