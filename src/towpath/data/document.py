"""Document: one text with where it came from. The noun that this room makes.

Knows nothing of files or filters. An id is a hash of the source and the place in it, so the same
input gives the same ids on every machine, and a document can be found again from its id.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Domain = Literal["prose", "chat", "code"]
"""What kind of text a document is; filters say which kinds they judge."""

Role = Literal["system", "user", "assistant"]

Meta = Mapping[str, str | int | float | bool]


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a chat."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class Document:
    """One text and its origin."""

    id: str
    """32 hexadecimal digits; see ``document_id``."""
    text: str
    source: str
    """Name of the source in the run file."""
    domain: Domain
    url: str | None = None
    path: str | None = None
    """File below the source's folder, or the entry in a package, ``file#entry``."""
    byte_offset: int | None = None
    """Where the document starts in the file, counted after decompression."""
    licence: str = "unknown"
    """SPDX identifier, or "unknown"."""
    date: str | None = None
    """ISO 8601, when the source tells it."""
    messages: tuple[Message, ...] | None = None
    """A chat's turns; ``text`` holds the same words, one turn a line."""
    meta: Meta = field(default_factory=dict)
    """What else the source tells: a score, a subset, what a page's owner allows."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """What a source found in the place of a document: kept as found, counted under ``reason``.

    ``document.text`` is the raw record, ``path`` and ``byte_offset`` its place.
    """

    document: Document
    reason: str


def document_id(source: str, place: str | None, byte_offset: int | None) -> str:
    """The id of the document at ``place`` (its url or path) of ``source``: 128 bits of BLAKE2b."""
    offset = "" if byte_offset is None else byte_offset
    key = f"{source}|{place or ''}|{offset}".encode("utf-8", "backslashreplace")
    return hashlib.blake2b(key, digest_size=16).hexdigest()
