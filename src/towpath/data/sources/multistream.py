"""Multistream bzip2: a dump of many compressed streams in a row, cut into pieces that can be read apart.

In Wikimedia's multistream dumps the first stream holds what stands before the pages, each further one a
hundred pages. Ranges of such a file begin at the first stream after every 64 MiB whose content begins with
``<page>``; a candidate is told by the signs of a stream (``BZh`` and a level, then those of a block) and
verified by decompressing its start, which checks the block's sum. A file of one stream, or of streams cut
elsewhere than before pages (pbzip2), is one range.
Format: https://en.wikipedia.org/wiki/Bzip2#File_format

The ``-index.txt.bz2`` beside a dump names the same places, and is not read: what a range is must not
depend on whether another file is there, and a place is found in 0.1 s without it.
"""

from __future__ import annotations

import bz2
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from towpath.data.sources.limits import MAX_RATIO, RATIO_FREE_BYTES, TooLarge
from towpath.data.sources.streams import damage_named

RANGE_BYTES = 64 << 20
_SIGNS = re.compile(rb"BZh[1-9]\x31\x41\x59\x26\x53\x59")
_SIGNS_BYTES = 10
_CHUNK_BYTES = 1 << 20
_READ_BYTES = 1 << 16
_PAGE = b"<page>"


@dataclass(frozen=True)
class Chunk:
    """Some bytes after decompression."""

    stream: int
    """Where the compressed stream that they come from starts in the file."""
    content: bytes


def ranges(path: Path) -> list[tuple[int, int]]:
    """Start and stop of the parts of the .bz2 file ``path`` that can be read apart, in bytes as stored."""
    size = path.stat().st_size
    starts = [0]
    if size > RANGE_BYTES:
        with damage_named(path), path.open("rb") as file:
            if _is_cut_at_pages(file):
                while (start := _next_start(file, starts[-1] + RANGE_BYTES)) is not None:
                    starts.append(start)
    return list(zip(starts, [*starts[1:], size], strict=True))


def _is_cut_at_pages(file: BinaryIO) -> bool:
    """Whether the first stream ends within a mebibyte, as one of no pages does, and pages follow."""
    decoder = bz2.BZ2Decompressor()
    stored = file.read(_CHUNK_BYTES)
    try:
        content = decoder.decompress(stored, _CHUNK_BYTES)
    except OSError:
        return False
    second = file.tell() - len(decoder.unused_data)
    return decoder.eof and _PAGE not in content and _begins_with_page(file, second)


def _next_start(file: BinaryIO, place: int) -> int | None:
    """Where the first stream from ``place`` on starts that begins with a page; None when there is none."""
    file.seek(place)
    window = b""
    while more := file.read(_CHUNK_BYTES):
        window = window[1 - _SIGNS_BYTES :] + more
        read = file.tell()
        for match in _SIGNS.finditer(window):
            start = read - len(window) + match.start()
            if _begins_with_page(file, start):
                return start
        file.seek(read)
    return None


def _begins_with_page(file: BinaryIO, start: int) -> bool:
    file.seek(start)
    decoder, content = bz2.BZ2Decompressor(), b""
    try:
        while not content.strip() and not decoder.eof and (stored := file.read(_CHUNK_BYTES)):
            content = decoder.decompress(stored, _CHUNK_BYTES)  # more than a block, so its sum is checked
    except OSError:
        return False
    return content.lstrip().startswith(_PAGE)


def read_range(path: Path, start: int, stop: int) -> Iterator[Chunk]:
    """The content of the streams of ``path`` that start from ``start`` on and before ``stop``.

    Zeros after the last stream are padding. Memory is that of a few mebibytes.

    Raises:
        DamagedFile: a stream is cut short or damaged, or holds more than ``limits.MAX_RATIO`` times its
            size; after what could be read.
    """
    n_bytes = 0
    with damage_named(path), path.open("rb") as file:
        for chunk in _chunks(file, start, stop):
            n_bytes += len(chunk.content)
            if n_bytes > max(RATIO_FREE_BYTES, MAX_RATIO * (file.tell() - start)):
                raise TooLarge(f"It holds more than {MAX_RATIO:,} times its size once decompressed.")
            yield chunk


def _chunks(file: BinaryIO, start: int, stop: int) -> Iterator[Chunk]:
    file.seek(start)
    stored = file.read(_READ_BYTES)
    while stored:
        start = file.tell() - len(stored)
        if start >= stop:
            return
        if stored.strip(b"\0"):
            stored = yield from _stream(file, stored, start)
        else:
            stored = b""
        stored = stored or file.read(_READ_BYTES)


def _stream(file: BinaryIO, stored: bytes, start: int) -> Iterator[Chunk]:
    """The content of the stream that ``stored`` begins; returns what was read past its end."""
    decoder = bz2.BZ2Decompressor()
    while True:
        content = decoder.decompress(stored, _CHUNK_BYTES)
        if content:
            yield Chunk(start, content)
        if decoder.eof:
            return decoder.unused_data
        stored = b""
        if decoder.needs_input and not (stored := file.read(_READ_BYTES)):
            raise EOFError("the compressed stream ends too early")
