"""What an archived HTTP response carries: transfer and content encodings undone, its media type.

Common Crawl stores payloads decoded; other crawlers store them as sent. A header that names an
encoding which the bytes are not in is common, so bytes that don't fit are taken as they are.
RFC 9112, section 7.1 (chunked); RFC 9110, section 8.4 (content codings).
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

from towpath.core.errors import DataError
from towpath.data.sources.limits import TooLarge

_MAX_RATIO = 200
_FREE_BYTES = 1 << 20


def decoded_payload(content: bytes, fields: Sequence[tuple[str, str]], max_bytes: int) -> bytes:
    """``content`` without the encodings that the header ``fields`` (name, value) tell.

    Raises:
        TooLarge: it would be more than ``max_bytes``, or 200 times as much and over 1 MiB.
        DataError: it is in a coding that can't be undone here, for example brotli.
    """
    names = {name.lower(): value.lower() for name, value in fields}
    if "chunked" in names.get("transfer-encoding", ""):
        content = _without_chunks(content)
    for coding in reversed([part.strip() for part in names.get("content-encoding", "").split(",")]):
        if coding in ("gzip", "x-gzip") and content[:2] == b"\x1f\x8b":
            content = _inflated(content, 31, max_bytes)
        elif coding == "deflate" and content[:1] == b"\x78":
            content = _inflated(content, 15, max_bytes)
        elif coding in ("br", "zstd") and not _looks_like_text(content):
            raise DataError(f"The page is compressed with {coding}, which can't be undone here.")
    return content


def media_type(content: bytes, stated: str | None) -> str:
    """The media type that a header states, in lower case; without one, a guess from the first bytes."""
    if stated:
        return stated.partition(";")[0].strip().lower()
    start = content[:1_024].lstrip().lower()
    if start.startswith((b"<!doctype html", b"<html", b"<head", b"<?xml")) or b"<body" in start:
        return "text/html"
    return "application/octet-stream"


def _looks_like_text(content: bytes) -> bool:
    return content[:256].lstrip()[:1] == b"<"


def _without_chunks(content: bytes) -> bytes:
    parts: list[bytes] = []
    position = 0
    while (line_end := content.find(b"\r\n", position)) >= 0:
        size_text = content[position:line_end].partition(b";")[0].strip()
        if not size_text or len(size_text) > 16 or size_text.strip(b"0123456789abcdefABCDEF"):
            break
        size = int(size_text, 16)
        if size == 0:
            return b"".join(parts)
        parts.append(content[line_end + 2 : line_end + 2 + size])
        position = line_end + 2 + size + 2
    return b"".join(parts) if parts else content


def _inflated(content: bytes, window_bits: int, max_bytes: int) -> bytes:
    cap = min(max_bytes, max(_MAX_RATIO * len(content), _FREE_BYTES))
    unpacker = zlib.decompressobj(window_bits)
    try:
        inflated = unpacker.decompress(content, cap + 1)
    except zlib.error as error:
        raise DataError(f"The page's content encoding is damaged: {error}.") from error
    if len(inflated) > cap:
        raise TooLarge(f"The page holds more than {cap:,} bytes once decompressed.")
    return inflated
