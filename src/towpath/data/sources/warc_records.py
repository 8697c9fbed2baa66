"""Records of a web archive, and the places where it is damaged or cut.

In comes a file, out come the records that can hold a document, with their offsets. fastwarc reads
them (https://resiliparse.chatnoir.eu), and passes over a cut end in silence: a file that stops
inside a compressed header gives no error, and one that stops inside a page gives a shorter page.
So the end of the file is checked here, and after damage the next whole record is looked for.
"""

from __future__ import annotations

import gzip
import io
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal, cast

from towpath.core.errors import DataError
from towpath.data.sources.streams import COMPRESSIONS, opened

_GZIP_MAGIC = b"\x1f\x8b\x08"
_RECORD_START = b"WARC/"
_WINDOW_BYTES = 1 << 20
_BLOCK_BYTES = 1 << 16
_MAX_HEADER_BYTES = 1 << 16
_SHOWN_BYTES = 20_000
_GIANT_BYTES = 64 << 20
"""A record that is longer is not read to its end: a few MB can decompress to any size."""
_MAX_DAMAGES = 1_000
"""After so many the rest of a file is one more: reading past each costs up to ``max_bytes``."""
_CONTENT_LENGTH = re.compile(rb"^content-length:[ \t]*(\d{1,18})[ \t]*\r?$", re.IGNORECASE | re.MULTILINE)
_DATE = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z")


@dataclass(frozen=True, slots=True)
class Record:
    """One record, with at most one byte more of its content than was asked for."""

    byte_offset: int
    kind: str
    """``WARC-Type``."""
    content: bytes
    """What follows the WARC header and, if it ``is_http``, the HTTP header."""
    url: str | None
    date: str | None
    media_type: str | None
    """``Content-Type`` of the record, without parameters."""
    is_http: bool
    status: int | None
    """HTTP status; None when there is none or its header can't be read."""
    http_type: str | None
    http_fields: tuple[tuple[str, str], ...]
    charset: str | None
    """What the HTTP header states."""
    truncated: str
    """``WARC-Truncated``: why the crawler stored only the page's start ("length", "time"), or ""."""
    languages: str
    """``WARC-Identified-Content-Language``, or ""."""


@dataclass(frozen=True, slots=True)
class Damage:
    """A place where reading had to stop."""

    byte_offset: int
    reason: str
    """``truncated_file`` when the file ends there, else ``damaged_file``."""
    text: str = ""
    """What was read of the record, if anything."""


def read_records(path: Path, max_bytes: int) -> Iterator[Record | Damage]:
    """The records of ``path`` that can hold a document, and a ``Damage`` for each place that can't be read.

    Raises:
        DataError: the file can't be opened, or nothing in it is a WARC record.
    """
    reader = _Reader(path, max_bytes)
    held: list[Damage] = []
    for item in reader.read():
        if isinstance(item, Damage) and reader.n_records == 0:
            held.append(item)
            continue
        yield from held
        held.clear()
        yield item
    if reader.n_records == 0:
        raise DataError(
            f"{path} holds no WARC record. Expected a file of WARC/1.0 or WARC/1.1 records, "
            "as it is or compressed."
        )
    yield from held


class _Reader:
    def __init__(self, path: Path, max_bytes: int) -> None:
        self.path, self.max_bytes = path, max_bytes
        self.n_records = 0
        self.last: int | None = None
        """Where the record that was seen last starts; None before the first of a pass."""
        self.short: str | None = None
        """What was read of that record, when it is shorter than it says."""
        self.giant = False
        """Whether that record is one whose end isn't worth reading to."""

    def read(self) -> Iterator[Record | Damage]:
        try:
            file = self.path.open("rb")
        except OSError as error:
            raise DataError(f"{self.path} can't be read: {error.strerror or error}.") from error
        with file:
            packing = _packing(file, self.path.suffix)
            if packing == "stream":
                yield from self._read_stream()
            else:
                yield from self._read_seekable(_File(file, packing == "gzip"))

    def _read_stream(self) -> Iterator[Record | Damage]:
        # gzip's own reader gives all that comes before a cut; pyarrow's gives nothing of its last block.
        unpack = gzip.open if self.path.suffix == ".gz" else opened
        try:
            with unpack(self.path) as stream:
                yield from self._pass(cast(BinaryIO, _Counted(cast(io.BufferedIOBase, stream))))
        except EOFError:
            yield Damage(self.last or 0, "truncated_file", self.short or "")
        except (OSError, zlib.error, DataError):
            yield Damage(self.last or 0, "damaged_file", self.short or "")

    def _read_seekable(self, file: _File) -> Iterator[Record | Damage]:
        start, n_damages = 0, 0
        while n_damages < _MAX_DAMAGES:
            file.stream.seek(start)
            failed = False
            try:
                yield from self._pass(file.stream)
            except OSError:
                failed = True
            damaged_at = self.last if self.giant else self._damaged_at(file, start, failed)
            if damaged_at is None:
                return
            following = file.next_record(damaged_at + 1)
            if not self.giant:
                reason = "truncated_file" if following is None else "damaged_file"
                yield Damage(damaged_at, reason, self.short or "")
            if following is None:
                return
            start, n_damages = following, n_damages + 1
        yield Damage(start, "damaged_file")

    def _pass(self, stream: BinaryIO) -> Iterator[Record]:
        from fastwarc.warc import ArchiveIterator, WarcRecordType

        kinds = WarcRecordType.response | WarcRecordType.resource
        kinds |= WarcRecordType.conversion | WarcRecordType.metadata
        self.last, self.short, self.giant = None, None, False
        for record in ArchiveIterator(stream, parse_http=True):
            self.last = record.stream_pos
            self.n_records += 1
            if record.record_type & kinds:
                content = record.reader.read(self.max_bytes + 1)
                if len(content) < min(record.content_length, self.max_bytes + 1):
                    self.short = content[:_SHOWN_BYTES].decode("utf-8", "replace")
                    raise OSError("the record is shorter than its length")
                yield _made(record, content)
            if record.content_length > _GIANT_BYTES:
                self.giant = True
                return

    def _damaged_at(self, file: _File, start: int, failed: bool) -> int | None:
        if self.last is None:
            return start if failed or (file.record_end(start) is None and file.size > start) else None
        if self.short is not None:
            return self.last
        position = self.last
        while position < file.size:
            end = file.record_end(position)
            if end is None or failed:
                stopped = position if end is None else end
                return None if file.is_padding(stopped) else stopped
            position = end
        return None


class _Counted:
    """A stream that can't seek, with the position that fastwarc asks for."""

    def __init__(self, stream: io.BufferedIOBase) -> None:
        self.stream, self.position = stream, 0

    def read(self, size: int = -1) -> bytes:
        data = self.stream.read1(size)  # `read` would lose what it has when a later block is damaged
        self.position += len(data)
        return data

    def tell(self) -> int:
        return self.position


@dataclass(frozen=True)
class _File:
    """An archive with a record at each of its gzip members, or uncompressed."""

    stream: BinaryIO
    is_gzip: bool

    @property
    def size(self) -> int:
        return self.stream.seek(0, 2)

    def record_end(self, position: int) -> int | None:
        """Where the record at ``position`` ends, with the blank lines after it; None if it isn't whole."""
        return self._member_end(position) if self.is_gzip else self._plain_end(position)

    def _member_end(self, position: int) -> int | None:
        self.stream.seek(position)
        unpacker = zlib.decompressobj(31)
        n_read = n_unpacked = 0
        while not unpacker.eof and n_unpacked <= 2 * _GIANT_BYTES:
            data = unpacker.unconsumed_tail
            if not data:
                data = self.stream.read(_BLOCK_BYTES)
                n_read += len(data)
            if not data:
                return None
            try:
                n_unpacked += len(unpacker.decompress(data, _WINDOW_BYTES))
            except zlib.error:
                return None
        return position + n_read - len(unpacker.unused_data) if unpacker.eof else None

    def _plain_end(self, position: int) -> int | None:
        self.stream.seek(position)
        head, blank_line, _ = self.stream.read(_MAX_HEADER_BYTES).partition(b"\r\n\r\n")
        length = _CONTENT_LENGTH.search(head)
        if not blank_line or not head.startswith(_RECORD_START) or length is None:
            return None
        end = position + len(head) + len(blank_line) + int(length[1])
        if end > self.size:
            return None
        self.stream.seek(end)
        after = self.stream.read(_MAX_HEADER_BYTES)
        return end + len(after) - len(after.lstrip(b"\r\n"))

    def is_padding(self, position: int) -> bool:
        """Whether there is nothing but NUL and line ends from ``position`` on."""
        self.stream.seek(position)
        while block := self.stream.read(_WINDOW_BYTES):
            if block.strip(b"\0\r\n"):
                return False
        return True

    def next_record(self, position: int) -> int | None:
        """Where the next record from ``position`` on starts, found by what records start with."""
        mark = _GZIP_MAGIC if self.is_gzip else b"\n" + _RECORD_START
        while True:
            self.stream.seek(position)
            window = self.stream.read(_WINDOW_BYTES)
            found = window.find(mark)
            if found < 0:
                if len(window) < _WINDOW_BYTES:
                    return None
                position += len(window) - len(mark)
            elif not self.is_gzip:
                return position + found + 1
            elif self._starts_record(position + found):
                return position + found
            else:
                position += found + 1

    def _starts_record(self, position: int) -> bool:
        self.stream.seek(position)
        try:
            start = zlib.decompressobj(31).decompress(self.stream.read(_MAX_HEADER_BYTES), 64)
        except zlib.error:
            return False
        return start.lstrip().startswith(_RECORD_START)


def _packing(file: BinaryIO, suffix: str) -> Literal["gzip", "plain", "stream"]:
    """How the records are compressed: one by one, not, or together."""
    start = file.read(_WINDOW_BYTES)
    if not start.startswith(_GZIP_MAGIC):
        return "stream" if suffix in COMPRESSIONS and not start.startswith(_RECORD_START) else "plain"
    try:
        unpacked = zlib.decompressobj(31).decompress(start, _WINDOW_BYTES)
    except zlib.error:
        return "gzip"
    head, blank_line, rest = unpacked.partition(b"\r\n\r\n")
    length = _CONTENT_LENGTH.search(head)
    together = blank_line and length is not None and len(rest) > int(length[1]) + len(b"\r\n\r\n")
    return "stream" if together and suffix in COMPRESSIONS else "gzip"


def _made(record: Any, content: bytes) -> Record:
    headers = record.headers
    http = record.http_headers if record.is_http else None
    date = headers.get("WARC-Date") or ""
    return Record(
        byte_offset=record.stream_pos,
        kind=(headers.get("WARC-Type") or "").lower(),
        content=content,
        url=(headers.get("WARC-Target-URI") or "").strip("<> ") or None,
        date=date if _DATE.fullmatch(date) else None,
        media_type=(headers.get("Content-Type") or "").partition(";")[0].strip().lower() or None,
        is_http=record.is_http,
        status=http.status_code if http is not None else None,
        http_type=record.http_content_type if http is not None else None,
        http_fields=tuple(http.items()) if http is not None else (),
        charset=record.http_charset if http is not None else None,
        truncated=headers.get("WARC-Truncated") or "",
        languages=headers.get("WARC-Identified-Content-Language") or "",
    )
