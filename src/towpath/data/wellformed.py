"""The gate before all filters: only text that is valid Unicode without NUL goes on.

Bytes that are not UTF-8 come in as surrogate escapes (``read_utf8``). A malformed document is
never thrown away: it goes out repaired, each bad byte or character spelled as an escape (``\\xff``,
``\\ud800``, ``\\x00``), with the reason it is to be dropped for.
"""

from __future__ import annotations

import re
from dataclasses import replace

from towpath.data.document import Document, Message

INVALID_UTF8 = "invalid_utf8"
LONE_SURROGATE = "lone_surrogate"
NUL_BYTE = "nul_byte"

_SURROGATE = re.compile("[\ud800-\udfff]")
_NOT_FROM_BYTES = re.compile("[\ud800-\udc7f\udd00-\udfff]")


def read_utf8(raw: bytes) -> str:
    """``raw`` as text; bytes that are not UTF-8 become U+DC80 to U+DCFF, which ``gate`` finds."""
    return raw.decode("utf-8", "surrogateescape")


def raw_bytes(text: str) -> bytes:
    """The bytes that ``read_utf8`` made ``text`` of; lone surrogates that were no bytes as WTF-8."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")


def gate(document: Document) -> tuple[Document, str | None]:
    """The document, repaired if need be, and the reason to drop it or None.

    What is wrong with its text or a turn is a reason; with its origin or ``meta`` it is only repaired.
    """
    reason = malformation(document.text)
    for message in document.messages or ():
        reason = reason or malformation(message.content)
    if reason is None and all(map(_clean, _origin(document))):
        return document, None
    return _repaired(document), reason


def malformation(text: str) -> str | None:
    """The first thing that is wrong with ``text``, or None.

    A lone surrogate in U+DC80 to U+DCFF counts as a byte that was not UTF-8.
    """
    if not text.isascii() and _SURROGATE.search(text):
        return LONE_SURROGATE if _NOT_FROM_BYTES.search(text) else INVALID_UTF8
    return NUL_BYTE if "\0" in text else None


def repair(text: str) -> str:
    """``text`` with each malformed character spelled out; well-formed text is returned as it is."""
    if malformation(text) is None:
        return text
    return _SURROGATE.sub(_spelled, text).replace("\0", "\\x00")


def _spelled(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else f"\\u{code:04x}"


def _origin(document: Document) -> list[str | None]:
    found = [document.url, document.path, document.date, document.licence]
    for name, value in document.meta.items():
        found += [name, value] if isinstance(value, str) else [name]
    return found


def _clean(text: str | None) -> bool:
    return text is None or malformation(text) is None


def _repaired(document: Document) -> Document:
    messages = document.messages and tuple(
        Message(message.role, repair(message.content)) for message in document.messages
    )
    meta = {
        repair(name): repair(value) if isinstance(value, str) else value
        for name, value in document.meta.items()
    }
    return replace(
        document,
        text=repair(document.text),
        url=document.url and repair(document.url),
        path=document.path and repair(document.path),
        date=document.date and repair(document.date),
        licence=repair(document.licence),
        messages=messages,
        meta=meta,
    )
