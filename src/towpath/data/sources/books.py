"""Books: plain text and EPUB, one document a chapter.

Plain text may be compressed and may come from Project Gutenberg, whose header, licence and footer
are left out; ``ocr`` says that a program read it from printed pages. ``byte_offset`` is the chapter's
place in the decompressed file (after the clean-up with ``ocr``; in the page's text for EPUB, whose
documents have the path ``book.epub#page``).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from towpath.data.document import Document, Meta, Rejected
from towpath.data.sources.archives import whole_file
from towpath.data.sources.chapters import chapters, without_frame
from towpath.data.sources.file_source import FileSource
from towpath.data.sources.found import kind_of
from towpath.data.sources.limits import MAX_DOCUMENT_BYTES, TookTooLong, TooLarge, time_limit
from towpath.data.sources.streams import COMPRESSIONS

_META_NAMES = {"creator": "author"}
_BOOK_SECONDS = 30.0  # a whole book is many documents
_MAX_STORED_BYTES = 64 << 20


class BooksSource(FileSource):
    """Text files and EPUBs."""

    suffixes: ClassVar = (".txt", ".epub")

    type: Literal["books"] = "books"
    category: str = "books"
    """What the mixture counts it as."""
    by_chapter: bool = True
    """Whether a document ends where a chapter does; False cuts at ``max_chars`` alone."""
    max_chars: int = Field(default=100_000, ge=1_000)
    """Longer chapters are cut at blank lines."""
    ocr: bool = False
    """Whether plain text was read from printed pages and is cleaned up (``cleaners.ocr``)."""
    max_bytes: int = Field(default=MAX_DOCUMENT_BYTES, ge=1)
    """Larger books (the pages of an EPUB together), after decompression, are rejected."""

    def read_file(self, path: Path, place: str) -> Iterator[Document | Rejected]:
        """Every chapter of the book ``path``."""
        return self._epub(path, place) if kind_of(path) == ".epub" else self._plain(path, place)

    def _plain(self, path: Path, place: str) -> Iterator[Document | Rejected]:
        file = whole_file(path, self.max_bytes)
        if file.reason == "too_large":
            yield self._rejected(place, 0, "too_large")
            return
        try:
            with time_limit(_BOOK_SECONDS):
                found = self._chapters_of(file.content, place)
        except TookTooLong:
            yield self._rejected(place, 0, "too_slow")
            return
        yield from found
        if file.reason:
            yield self._rejected(place, len(file.content), file.reason)

    def _chapters_of(self, content: bytes, place: str) -> list[Document]:
        text, encoding = _decoded(content)
        start, end, meta = without_frame(text)
        if self.ocr:
            from towpath.data.cleaners.ocr import OcrConfig

            text = OcrConfig().cleaned(text[start:end])[0]
            start, end = 0, len(text)
        return list(self._chapters(text, (start, end), place, encoding, meta))

    def _chapters(
        self, text: str, bounds: tuple[int, int], place: str, encoding: _Encoding, meta: Meta
    ) -> Iterator[Document]:
        start, end = bounds
        at, byte_offset = 0, 0
        for chapter in chapters(text[start:end], self.max_chars, by_heading=self.by_chapter):
            byte_offset += encoding.n_bytes(text[at : start + chapter.start])
            at = start + chapter.start
            more = {"chapter": chapter.heading} if chapter.heading else {}
            yield self.document(chapter.text, path=place, byte_offset=byte_offset, meta={**meta, **more})

    def _epub(self, path: Path, place: str) -> Iterator[Document | Rejected]:
        from towpath.data.sources.epub import read_epub

        stored = whole_file(path, _MAX_STORED_BYTES) if path.suffix in COMPRESSIONS else None
        if stored is not None and stored.reason:
            yield self._rejected(place, 0, stored.reason)
            return
        try:
            with time_limit(_BOOK_SECONDS):
                book = read_epub(path, self.max_bytes, stored and stored.content)
        except TooLarge:
            yield self._rejected(place, 0, "too_large")
            return
        except TookTooLong:
            yield self._rejected(place, 0, "too_slow")
            return
        date = book.meta.pop("date", None)
        meta = {_META_NAMES.get(name, name): value for name, value in book.meta.items()}
        for name, text in book.pages:
            for document in self._chapters(text, (0, len(text)), f"{place}#{name}", _Encoding(), meta):
                yield self.document(
                    document.text,
                    path=document.path,
                    byte_offset=document.byte_offset,
                    date=date,
                    meta=document.meta,
                )
        for number in range(book.n_damaged):
            yield self._rejected(place, number, "damaged_member")

    def _rejected(self, place: str, byte_offset: int, reason: str) -> Rejected:
        return Rejected(self.document("", path=place, byte_offset=byte_offset), reason)


@dataclass(frozen=True)
class _Encoding:
    """How a text stands in its file."""

    name: str = "utf-8"
    line_end: str = "\n"

    def n_bytes(self, text: str) -> int:
        return len(text.encode(self.name, "replace")) + (len(self.line_end) - 1) * text.count("\n")


def _decoded(content: bytes) -> tuple[str, _Encoding]:
    """``content`` as text with plain line ends: UTF-8, or Windows-1252 where it is not that."""
    name = "utf-8"
    try:
        text = content.decode()
    except UnicodeDecodeError:
        name = "cp1252"
        text = content.decode(name, "replace")
    if "\r\n" in text:
        return text.replace("\r\n", "\n"), _Encoding(name, "\r\n")
    return text, _Encoding(name)
