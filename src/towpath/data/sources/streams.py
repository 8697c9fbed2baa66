"""Files as byte streams, compressed or not, read line by line, and errors that name the file.

gzip, bzip2 and Zstandard, of one stream or many in a row. What a damaged file holds before its damage
is given before the error comes; a stream that ends too early is an error too, and so is one that holds
more than 1,100 times its stored size (``limits.MAX_RATIO``).
"""

from __future__ import annotations

import bz2
import io
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Literal, NamedTuple, cast

from towpath.core.errors import DataError
from towpath.data.sources.limits import (
    MAX_DOCUMENT_BYTES,
    MAX_RATIO,
    RATIO_FREE_BYTES,
    SHOWN_BYTES,
    TooLarge,
)

COMPRESSIONS = {".gz": "gzip", ".bz2": "bz2", ".zst": "zstd"}
_BUFFER_BYTES = 1 << 20
_SLICE_BYTES = 2 << 10  # compressed bytes at a time: Zstandard makes at most 64 MiB of them
_WINDOW_BYTES, _LONG_WINDOW_BYTES = 1 << 27, 1 << 31

Damage = Literal["truncated_file", "damaged_file", "too_large"]


class DamagedFile(DataError):  # noqa: N818 - it says what happened
    """A file whose content can't be read to its end; ``reason`` is what a ``Rejected`` is counted under."""

    def __init__(self, message: str, reason: Damage) -> None:
        super().__init__(message)
        self.reason: Damage = reason


class Line(NamedTuple):
    """One line with its end, or what was in its place."""

    byte_offset: int
    """Where it starts, after decompression."""
    raw: bytes
    """Its bytes; of one that is too long, the first 64 KiB."""
    problem: str | None = None
    """The reason for a ``Rejected``: "record_too_long", or a ``Damage``, which ends the file."""


@contextmanager
def opened(path: Path, *, long_windows: bool = False) -> Iterator[BinaryIO]:
    """The bytes of ``path`` after decompression, which its suffix tells.

    ``long_windows`` takes Zstandard files that need 2 GiB of memory (``zstd --long=31``); others may
    need 128 MiB.

    Raises:
        DataError: the file can't be opened.
        DamagedFile: it is cut short or damaged; from reads inside, after what was readable.
    """
    with damage_named(path), path.open("rb") as file:
        if path.suffix not in COMPRESSIONS:
            yield file
            return
        with decompressed(file, path.suffix, long_windows=long_windows) as content:
            yield content


@contextmanager
def decompressed(file: BinaryIO, suffix: str, *, long_windows: bool = False) -> Iterator[BinaryIO]:
    """The content of the compressed ``file``, whose kind is ``suffix``; reads raise what ``damage_named``
    knows."""
    decoder = _decoder(suffix, _LONG_WINDOW_BYTES if long_windows else _WINDOW_BYTES)
    with io.BufferedReader(_Decompressed(file, decoder), _BUFFER_BYTES) as buffered:
        yield cast(BinaryIO, buffered)


def read_lines(
    path: Path, max_bytes: int = MAX_DOCUMENT_BYTES, *, long_windows: bool = False
) -> Iterator[Line]:
    """The lines of ``path`` after decompression; one that is longer than ``max_bytes`` is passed over.

    A damaged file ends with a ``Line`` that says so.

    Raises:
        DataError: the file can't be opened, or is damaged before its first line.
    """
    offset = 0
    try:
        with opened(path, long_windows=long_windows) as stream:
            for line in lines_of(stream, max_bytes):
                offset = line.byte_offset
                yield line
                offset += max(len(line.raw), 1)
    except DamagedFile as error:
        if offset == 0 and error.reason != "too_large":
            raise
        yield Line(offset, b"", error.reason)


def lines_of(stream: BinaryIO, max_bytes: int = MAX_DOCUMENT_BYTES) -> Iterator[Line]:
    """The lines of ``stream``; of one that is longer than ``max_bytes`` no more is held than that."""
    offset = 0
    while raw := stream.readline(max_bytes + 1):
        size = len(raw)
        if size <= max_bytes:
            yield Line(offset, raw)
        else:
            while not raw.endswith(b"\n") and (more := stream.readline(_BUFFER_BYTES)):
                size += len(more)
                raw = raw[:SHOWN_BYTES] + more[-1:]
            yield Line(offset, raw[:SHOWN_BYTES], "record_too_long")
        offset += size


@contextmanager
def damage_named(path: Path) -> Iterator[None]:
    """Turn what readers raise about a file's content into a ``DataError`` that names ``path``."""
    import pyarrow
    import zstandard

    try:
        yield
    except (PermissionError, FileNotFoundError, IsADirectoryError) as error:
        raise DataError(f"{path} can't be read: {error.strerror or error}.") from error
    except TooLarge as error:
        raise DamagedFile(f"{path}: {error} Leave it out.", "too_large") from error
    except (
        OSError,
        EOFError,
        UnicodeDecodeError,
        zlib.error,
        zstandard.ZstdError,
        pyarrow.ArrowException,
    ) as error:
        raise DamagedFile(
            f"{path} is cut short or damaged: {str(error).strip().rstrip('.')}. "
            "Fetch or write the file again, or leave it out.",
            "truncated_file" if isinstance(error, EOFError) else "damaged_file",
        ) from error


class _Decompressed(io.RawIOBase):
    """Compressed streams of one kind in a row, as their content. Zeros after them are padding."""

    def __init__(self, file: BinaryIO, new_decoder: Callable[[], Any]) -> None:
        self.file, self.new_decoder = file, new_decoder
        self.decoder: Any = None
        self.ready = memoryview(b"")
        self.n_stored = self.n_given = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        while not self.ready:
            stored = b""
            if getattr(self.decoder, "needs_input", True):
                stored = self.file.read(_SLICE_BYTES)
                if not stored:
                    if self.decoder is not None:
                        raise EOFError("the compressed stream ends too early")
                    return 0
            self.ready = memoryview(self._decompressed(stored))
            self._count(len(stored))
        size = min(len(buffer), len(self.ready))
        buffer[:size] = self.ready[:size]
        self.ready = self.ready[size:]
        return size

    def _count(self, n_stored: int) -> None:
        self.n_stored += n_stored
        self.n_given += len(self.ready)
        if self.n_given > max(RATIO_FREE_BYTES, MAX_RATIO * self.n_stored):
            raise TooLarge(
                f"Its first {self.n_stored:,} bytes hold {self.n_given:,} once decompressed, more than "
                f"{MAX_RATIO:,} times as many."
            )

    def _decompressed(self, stored: bytes) -> bytes:
        found = []
        while self.decoder is not None or stored.strip(b"\0"):
            self.decoder = self.decoder or self.new_decoder()
            found.append(self.decoder.decompress(stored))
            if not self.decoder.eof:
                break
            stored, self.decoder = self.decoder.unused_data, None
        return b"".join(found)


class _Bzip2:
    """A bzip2 decoder that gives at most 1 MiB at a time; 1 KiB of input may hold a thousand times that."""

    def __init__(self) -> None:
        self.decoder = bz2.BZ2Decompressor()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.decoder, name)

    def decompress(self, stored: bytes) -> bytes:
        return self.decoder.decompress(stored, _BUFFER_BYTES)


def _decoder(suffix: str, window_bytes: int) -> Callable[[], Any]:
    if suffix == ".gz":
        return lambda: zlib.decompressobj(wbits=31)
    if suffix == ".bz2":
        return _Bzip2
    import zstandard

    return zstandard.ZstdDecompressor(max_window_size=window_bytes).decompressobj
