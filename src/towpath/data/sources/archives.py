"""Files inside files: members of tar archives and compressed files, in memory and under a cap.

A path goes in; names, places and bytes of its members come out. Nothing is ever written to disk and
no link is followed, so names such as ``../../etc/passwd`` are names and nothing else. What is too
large, damaged or cut short comes out as a ``Member`` with a reason.
"""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

from towpath.core.errors import DataError
from towpath.data.sources.found import kind_of
from towpath.data.sources.limits import TooLarge
from towpath.data.sources.streams import DamagedFile, opened

_CHUNK_BYTES = 1 << 16
_GZIP = b"\x1f\x8b"
_TAR_MAGIC_AT, _TAR_MAGIC = 257, b"ustar"
_MAX_HEADER_BYTES = 1 << 16
_HEADERS = (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE)
NOT_TAR = (tarfile.TarError, DataError, EOFError, OSError, ValueError, OverflowError, RecursionError)
"""What reading a damaged tar raises; the last one where header follows header without a file."""


@dataclass(frozen=True, slots=True)
class Member:
    """One file."""

    name: str
    """Its name in the archive; empty for a file that is no archive."""
    byte_offset: int
    """Where it starts in the archive, counted after decompression."""
    content: bytes
    reason: str | None = None
    """Why it is not whole: ``too_large``, ``damaged_file``, ``truncated_file``."""


class _SmallHeader(tarfile.TarInfo):
    """An entry whose headers may not hold more than names do: tarfile takes them into memory whole."""

    @classmethod
    def frombuf(cls, buf: Any, encoding: Any, errors: Any) -> tarfile.TarInfo:
        header = super().frombuf(buf, encoding, errors)
        if header.type in _HEADERS and header.size > _MAX_HEADER_BYTES:
            raise tarfile.ReadError(f"a header of the archive has {header.size:,} bytes")
        if header.type == tarfile.GNUTYPE_SPARSE:
            raise tarfile.ReadError("the archive has a file with holes, which may be of any size")
        return header

    def _proc_gnusparse_10(self, *_: Any) -> None:
        raise tarfile.ReadError("the archive has a file with holes, which may be of any size")


def members(path: Path, max_bytes: int) -> Iterator[Member]:
    """The regular files of a tar archive, compressed or not; any other file is its own one member.

    Members larger than ``max_bytes`` come without their content. An archive that ends or breaks
    in its middle gives a last member with a reason.
    """
    if kind_of(path) == ".tar":
        try:
            with opened(path) as stream:
                yield from tar_members(stream, max_bytes)
        except DamagedFile as error:
            yield Member("", 0, b"", error.reason)
    else:
        yield whole_file(path, max_bytes)


def whole_file(path: Path, max_bytes: int) -> Member:
    """``path`` after decompression, as far as it can be read.

    Raises:
        DataError: nothing of it can be read.
    """
    chunks: list[bytes] = []
    n_bytes, reason = 0, None
    try:
        with opened(path) as stream:
            while chunk := stream.read1(_CHUNK_BYTES):  # pyright: ignore[reportAttributeAccessIssue]
                n_bytes += len(chunk)
                if n_bytes > max_bytes:
                    reason = "too_large"
                    break
                chunks.append(chunk)
    except DamagedFile as error:
        if not chunks:
            raise
        reason = error.reason
    return Member("", 0, b"".join(chunks), reason)


def tar_members(stream: BinaryIO, max_bytes: int) -> Iterator[Member]:
    """The regular files of the tar archive ``stream``, read from start to end without seeking."""
    at = 0
    try:
        for entry, file in tar_files(stream):
            at = entry.offset_data
            if entry.size > max_bytes:
                yield Member(entry.name, at, b"", "too_large")
                continue
            content = file.read()
            whole = len(content) == entry.size
            yield Member(entry.name, at, content, None if whole else "truncated_file")
    except NOT_TAR as error:
        yield Member("", at, b"", error.reason if isinstance(error, DamagedFile) else "damaged_file")


def tar_files(stream: BinaryIO) -> Iterator[tuple[tarfile.TarInfo, BinaryIO]]:
    """The regular files of the tar archive ``stream``, each to be read before the next one is asked for.

    Memory holds one entry. Raises one of ``NOT_TAR`` where the archive is damaged.
    """
    with tarfile.open(fileobj=stream, mode="r|", tarinfo=_SmallHeader) as archive:
        for entry in archive:
            file = archive.extractfile(entry) if entry.isreg() else None
            if file is not None:
                yield entry, cast(BinaryIO, file)
            archive.members.clear()  # pyright: ignore[reportAttributeAccessIssue] - tarfile keeps them all


def is_gzip(content: bytes) -> bool:
    """Whether ``content`` starts as gzip does."""
    return content.startswith(_GZIP)


def is_tar(content: bytes) -> bool:
    """Whether ``content`` starts with the header of a POSIX or GNU tar archive."""
    return content[_TAR_MAGIC_AT : _TAR_MAGIC_AT + len(_TAR_MAGIC)] == _TAR_MAGIC


def gunzipped(content: bytes, max_bytes: int) -> bytes:
    """``content`` decompressed, all its gzip members; what follows a damaged place is left out.

    Raises:
        TooLarge: it holds more than ``max_bytes``.
        DataError: it is damaged from its start.
    """
    chunks: list[bytes] = []
    left = max_bytes
    while is_gzip(content):
        decompressor = zlib.decompressobj(31)
        try:
            data = decompressor.decompress(content, left + 1)
        except zlib.error as error:
            if chunks:
                break
            raise DataError(f"It is no whole gzip file: {error}. Fetch it again.") from error
        left -= len(data)
        if left < 0:
            raise TooLarge(f"It holds more than {max_bytes:,} bytes once decompressed, its cap.")
        chunks.append(data)
        content = decompressor.unused_data
    return b"".join(chunks)
