"""Limits for input that nobody has vouched for: time, size, ratio and XML entities.

In goes what a parser is about to do or read, out comes the same or an error that says which limit
was passed. A source catches the error of one document and yields a ``Rejected`` in its place.
"""

from __future__ import annotations

import io
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, Final
from xml.parsers import expat

from towpath.core.errors import DataError

DOCUMENT_SECONDS: Final = 2.0
"""Time that one document may take."""
MAX_DOCUMENT_BYTES: Final = 16 << 20
"""Most bytes that a source takes into memory as one document: a line, a record, a file that is one text.
Python and the parsers need up to thirty times as much (measured: JSON of nothing but short objects), so
this keeps a document below 512 MB."""
SHOWN_BYTES: Final = 1 << 16
"""How much of a record that is too long goes into its ``Rejected``."""
MAX_RATIO: Final = 1_100
"""How many times its stored size a compressed file may hold, once it holds ``RATIO_FREE_BYTES``. Deflate
can't do better than 1,032; Zstandard and bzip2 make a terabyte of a megabyte."""
RATIO_FREE_BYTES: Final = 64 << 20
_AGAIN_SECONDS = 0.25
_FREE_BYTES = 1 << 20  # what a stream may hold whatever its ratio: a few short lines compress 1,000 to 1
_BUFFER_BYTES = 1 << 16


class TookTooLong(DataError):  # noqa: N818 - it says what happened
    """A document took longer than its time limit."""


class TooLarge(DataError):  # noqa: N818 - it says what happened
    """A stream holds more than its cap, or more than its stored size can honestly hold."""


class UnsafeXml(DataError):  # noqa: N818 - it says what happened
    """XML that declares entities or long defaults of its own."""


@contextmanager
def time_limit(seconds: float = DOCUMENT_SECONDS) -> Iterator[None]:
    """Stop what runs inside after ``seconds`` of wall clock.

    May be nested: the shorter time counts, and the outer one goes on afterwards. Not around a
    ``yield``: the reader's time would count as the parser's.

    It interrupts Python code of the main thread. What it can't interrupt, it tells afterwards: a
    call into C is stopped when it returns, and in another thread, or where SIGALRM is missing, the
    error comes at the end of the block.

    Raises:
        TookTooLong: the block took longer, whether it was interrupted or not.
    """
    end = time.monotonic() + seconds
    if threading.current_thread() is threading.main_thread() and hasattr(signal, "setitimer"):
        with _alarm(seconds):
            yield
    else:
        yield
    if time.monotonic() > end:
        raise _took_too_long(seconds)


@contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    inside = True

    def ring(*_: Any) -> None:
        if inside:
            raise _took_too_long(seconds)

    started = time.monotonic()
    handler = signal.signal(signal.SIGALRM, ring)
    # It rings again, in case the first error is swallowed by an `except Exception` on its way.
    remaining, interval = signal.setitimer(signal.ITIMER_REAL, seconds, _AGAIN_SECONDS)
    if 0 < remaining < seconds:
        signal.setitimer(signal.ITIMER_REAL, remaining, _AGAIN_SECONDS)
    try:
        try:
            yield
        finally:
            inside = False
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
        if remaining > 0:
            left = remaining - (time.monotonic() - started)
            signal.setitimer(signal.ITIMER_REAL, max(left, 1e-6), interval)


def _took_too_long(seconds: float) -> TookTooLong:
    return TookTooLong(f"It took longer than its limit of {seconds:g} seconds and was stopped.")


def capped(
    stream: BinaryIO, max_bytes: int, max_ratio: float | None = None, stored_bytes: int | None = None
) -> BinaryIO:
    """``stream`` of decompressed bytes, which fails when it gives more than it may.

    It may give ``max_bytes``, and ``max_ratio`` times ``stored_bytes``, its size before
    decompression, where both are given (1 MiB is always let through by the ratio). Closing it
    closes ``stream``.

    Raises:
        TooLarge: from reads, when there are more bytes; nothing past the cap is decompressed
            but one byte.
    """
    cap = max_bytes
    if max_ratio is not None and stored_bytes is not None:
        cap = min(cap, max(int(max_ratio * stored_bytes), _FREE_BYTES))
    return io.BufferedReader(_Capped(stream, cap), _BUFFER_BYTES)


class _Capped(io.RawIOBase):
    def __init__(self, stream: BinaryIO, cap: int) -> None:
        self.stream, self.cap, self.left = stream, cap, cap

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        data = self.stream.read(min(len(buffer), self.left + 1))
        if len(data) > self.left:
            raise TooLarge(f"It holds more than {self.cap:,} bytes once decompressed, its cap.")
        buffer[: len(data)] = data
        self.left -= len(data)
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self.stream.close()
        super().close()


NOT_XML = (expat.ExpatError, LookupError, ValueError)
"""What expat raises on bytes that are no XML; the last two at an encoding that it does not know."""


MAX_TOKEN_BYTES = 8 << 20
"""Longest tag of XML: expat reads an unfinished one again with every chunk."""
MAX_XML_DEPTH: Final = 1_000
"""Most elements of XML inside each other: expat keeps each open one in memory."""
_MAX_DEFAULT_CHARS = 1_000


def feed(parser: expat.XMLParserType, chunk: bytes, fed_bytes: int) -> int:
    """Parse ``chunk`` after ``fed_bytes`` bytes; returns the bytes fed so far.

    Raises:
        ValueError: a tag is longer than ``MAX_TOKEN_BYTES``. Whatever ``parser`` raises.
    """
    parser.Parse(chunk, False)
    fed_bytes += len(chunk)
    if fed_bytes - max(parser.CurrentByteIndex, 0) > MAX_TOKEN_BYTES:
        raise ValueError(f"there is no end of a tag in {MAX_TOKEN_BYTES:,} bytes")
    return fed_bytes


def safe_expat(encoding: str | None = None) -> expat.XMLParserType:
    """An expat parser that follows no external entity and refuses a document that declares entities, or a
    long default of an attribute.

    A DOCTYPE that only names a DTD is let through; the DTD isn't read, so entities that it would
    declare are skipped (``SkippedEntityHandler`` sees them).

    Raises:
        UnsafeXml: from ``Parse``, at such a declaration.
    """
    parser = expat.ParserCreate(encoding)
    parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)
    parser.EntityDeclHandler = _refuse_entity
    parser.AttlistDeclHandler = _refuse_long_default
    return parser


def check_depth(depth: int) -> None:
    """Refuse XML whose elements are ``depth`` deep.

    Raises:
        ValueError: that is more than ``MAX_XML_DEPTH``.
    """
    if depth > MAX_XML_DEPTH:
        raise ValueError(f"its elements are nested more than {MAX_XML_DEPTH:,} deep")


def _refuse_long_default(element: str, name: str, kind: str, default: str | None, required: bool) -> None:
    if default is not None and len(default) > _MAX_DEFAULT_CHARS:
        raise UnsafeXml(
            f"Its DOCTYPE gives the attribute {name!r} a default of {len(default):,} characters, which would "
            "be repeated at every element."
        )


def _refuse_entity(name: str, *_: Any) -> None:
    raise UnsafeXml(
        f"Its DOCTYPE declares the entity {name!r}. Entities can make a small file grow to any size or "
        "read other files, so they are refused."
    )
