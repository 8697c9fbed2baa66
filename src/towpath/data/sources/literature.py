"""Stories, poetry and scripts as plain text, their structure kept.

Prose has its hard-wrapped lines joined to paragraphs; verse keeps its lines and stanzas; scripts keep
the lines of acts, scenes and speakers. ``form = "auto"`` decides by document: many lines that name a
speaker, act or scene are a script; short lines that mostly start with a capital are verse; the rest is prose.
The bounds are this project's own choice. ``byte_offset`` counts in the file after decompression.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import ClassVar, Literal

from pydantic import Field

from towpath.data.document import Document, Rejected
from towpath.data.sources.file_source import FileSource
from towpath.data.sources.files import cut
from towpath.data.sources.limits import MAX_DOCUMENT_BYTES, TookTooLong, time_limit
from towpath.data.sources.streams import Line, read_lines
from towpath.data.wellformed import read_utf8

Form = Literal["story", "poem", "script"]

_CUE = re.compile(
    r"\s{0,60}(?:(?:ACT|SCENE|Act|Scene|PROLOGUE|EPILOGUE)\b.{0,60}"
    r"|[A-Z][A-Z .,'’&-]{1,40}[.:]?(?:\s?[(\[][^)\]]{0,80}[)\]])?"
    r"|[A-Z][A-Za-z.’'-]{1,20}(?: [A-Z][A-Za-z.’'-]{1,20})?[.:] .{1,500}|\[.{1,200}\])$"
)
_SCENE = re.compile(r"\s*(?:ACT|SCENE|Act|Scene)\s+(?:[IVXLC\d]+|[A-Z][a-z]+)\b")
_MIN_CUE_SHARE = 0.2
_MAX_VERSE_CHARS = 55
_MIN_VERSE_LINES = 4
_MIN_CAPITAL_SHARE = 0.6


class LiteratureSource(FileSource):
    """Stories, poems and plays."""

    suffixes: ClassVar = (".txt", ".text")

    type: Literal["literature"] = "literature"
    path: str
    """A file, a folder or a glob of .txt files, also compressed."""
    category: str = "books"
    """What the mixture counts it as."""
    form: Literal["auto", "story", "poem", "script"] = "auto"
    """What the texts are; "auto" decides by document."""
    separator: str | None = "<|endoftext|>"
    """A line that holds only this ends a document."""
    cut_bytes: int | None = Field(default=50_000, ge=1, le=MAX_DOCUMENT_BYTES)
    """Longer texts are cut, at a blank line where there is one; None leaves them whole. A line or a
    document of more than 16 MiB is rejected as "record_too_long"."""

    def read_file(self, path: Path, place: str) -> Iterator[Document | Rejected]:
        """The documents of one file."""
        separator = self.separator.encode() if self.separator else None
        for piece in cut(read_lines(path), separator, self.cut_bytes):
            yield self._document(piece, place)

    def _document(self, piece: Line, place: str) -> Document | Rejected:
        reason = piece.problem
        if reason is None:
            try:
                with time_limit():
                    text = read_utf8(piece.raw).replace("\r\n", "\n").replace("\r", "\n")
                    form = form_of(text) if self.form == "auto" else self.form
                    text = shaped(text, form)
                return self.document(text, path=place, byte_offset=piece.byte_offset, meta={"form": form})
            except TookTooLong:
                reason = "too_slow"
        raw = self.document(read_utf8(piece.raw), path=place, byte_offset=piece.byte_offset)
        return Rejected(raw, reason)


def form_of(text: str) -> Form:
    """What ``text`` is, by the shape of its lines."""
    lines = [line for line in text.split("\n") if line.strip()]
    if len(lines) < _MIN_VERSE_LINES:
        return "story"
    cues = sum(_CUE.match(line) is not None for line in lines) / len(lines)
    if cues >= _MIN_CUE_SHARE or (cues >= _MIN_CUE_SHARE / 4 and any(map(_SCENE.match, lines))):
        return "script"
    capitals = sum(line.lstrip(" \t\"'“‘(")[:1].isupper() for line in lines) / len(lines)
    is_short = median(map(len, lines)) <= _MAX_VERSE_CHARS and max(map(len, lines)) <= 2 * _MAX_VERSE_CHARS
    return "poem" if is_short and capitals >= _MIN_CAPITAL_SHARE else "story"


def shaped(text: str, form: Form) -> str:
    """``text`` with the line breaks of its form: paragraphs of prose joined, others kept."""
    blocks: list[list[str]] = [[]]
    for line in text.split("\n"):
        if line.strip():
            blocks[-1].append(line.rstrip())
        elif blocks[-1]:
            blocks.append([])
    if form == "story":
        return "\n\n".join(" ".join(map(str.strip, block)) for block in blocks if block)
    return "\n\n".join("\n".join(block) for block in blocks if block)
