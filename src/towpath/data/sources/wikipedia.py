"""Wikipedia dumps: MediaWiki XML, as it is or compressed, one document an article.

The XML is read as a stream, so memory does not grow with the dump. A large multistream dump is several
pieces (``sources.multistream``), each with what stands before the first page read in front of it; other
dumps are one. Redirects and pages outside the article namespace are left out. A text is the title, a
blank line, and the article's wikitext as plain text. ``byte_offset`` is that of the ``<page>`` element in
the decompressed XML; past the first stream of a .bz2 file it is where in the file the compressed stream
starts that holds the element, as in Wikimedia's index: what stands before need not be decompressed to
find a page again, nor to know its id.
Format: https://www.mediawiki.org/xml/export-0.11.xsd
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal
from urllib.parse import quote
from xml.parsers import expat

from towpath.core.errors import DataError
from towpath.data.document import Document, Rejected
from towpath.data.sources import Piece, multistream
from towpath.data.sources.file_source import FileSource
from towpath.data.sources.found import root_of
from towpath.data.sources.limits import (
    MAX_DOCUMENT_BYTES,
    NOT_XML,
    SHOWN_BYTES,
    TookTooLong,
    check_depth,
    feed,
    time_limit,
)
from towpath.data.sources.multistream import Chunk
from towpath.data.sources.streams import DamagedFile, opened
from towpath.data.sources.wikitext import Namespaces, plain_text

Span = tuple[int, int]
"""Start and stop in a .bz2 file, in bytes as stored."""

_CHUNK_BYTES = 1 << 20
_BZIP2 = ".bz2"
_MEDIA, _CATEGORY = "6", "14"  # numbers of the namespaces, the same in every language
_OF_A_PAGE = {"title": "title", "ns": "namespace", "timestamp": "timestamp", "text": "wikitext"}
_KEPT = frozenset({"base", "namespace", "title", "ns", "timestamp", "text"})


class WikipediaSource(FileSource):
    """Articles of a Wikipedia dump."""

    suffixes: ClassVar = (".xml",)

    type: Literal["wikipedia"] = "wikipedia"
    path: str
    """A dump (pages-articles .xml.bz2 or .xml), a folder or a glob of them."""
    licence: str = "CC-BY-SA-4.0"
    """SPDX identifier of the texts' licence."""

    def pieces(self) -> Sequence[Piece]:
        """The dumps in the order of their paths; of a large multistream dump ranges of about 64 MiB."""
        found = self.found()
        pieces = []
        for path in found.paths:
            size_bytes = path.stat().st_size
            spans = multistream.ranges(path) if path.suffix == _BZIP2 else [(0, size_bytes)]
            pieces += [Piece(found.place(path), stop - start, (start, stop)) for start, stop in spans]
        return pieces

    def read(self, piece: Piece) -> Iterator[Document | Rejected]:
        """The articles of one dump, or of a range of it."""
        return self._articles(root_of(self.path) / piece.place, piece.place, piece.span)

    def read_file(self, path: Path, place: str) -> Iterator[Document | Rejected]:
        """Every article, in the dump's order; then a rejected one where a dump is cut short."""
        return self._articles(path, place, None)

    def _articles(self, path: Path, place: str, span: Span | None) -> Iterator[Document | Rejected]:
        page = None
        pages = read_pages(path, span)
        while True:
            try:
                page = next(pages)
            except StopIteration:
                return
            except DataError as error:
                reason = error.reason if isinstance(error, DamagedFile) else "truncated_file"
                if page is None and reason != "too_large" and _is_whole(path, span):
                    raise
                offset = page.byte_offset + 1 if page else span[0] if span else 0
                yield Rejected(self.document("", path=place, byte_offset=offset), reason)
                return
            yield self._document(page, place)

    def _document(self, page: Page, place: str) -> Document | Rejected:
        reason = "record_too_long" if page.too_long else None
        try:
            with time_limit():
                text = page.wikitext if reason else plain_text(page.wikitext, page.namespaces)
        except TookTooLong:
            text, reason = page.wikitext, "too_slow"
        document = self.document(
            f"{page.title}\n\n{text}",
            path=place,
            url=page.site + quote(page.title.replace(" ", "_"), safe="/:@!$&'()*,;=~-._"),
            byte_offset=page.byte_offset,
            date=page.timestamp,
        )
        return Rejected(document, reason) if reason else document


@dataclass
class Page:
    """One article as the dump holds it."""

    byte_offset: int
    site: str
    """What the address of an article starts with."""
    namespaces: Namespaces
    title: str = ""
    namespace: str = "0"
    timestamp: str | None = None
    wikitext: str = ""
    redirect: bool = False
    too_long: bool = False
    """Whether ``wikitext`` is only the start of one of more than ``MAX_DOCUMENT_BYTES``."""


def read_pages(path: Path, span: Span | None = None) -> Iterator[Page]:
    """The articles of the dump ``path``, or of the range ``span`` of it (``multistream.ranges``).

    Raises:
        DataError: the file is cut short, damaged or not XML.
    """
    reader = _Reader()
    try:
        for chunk in _chunks(path, span):
            reader.feed(chunk)
            yield from reader.take()
        reader.end(is_last=span is None or span[1] == path.stat().st_size)
    except NOT_XML as error:
        yield from reader.take()  # whole articles before the damage
        raise DataError(
            f"{path} is not a whole MediaWiki dump: {error}. "
            "Expected an uncut pages-articles file; fetch it again."
        ) from error
    yield from reader.take()


def _chunks(path: Path, span: Span | None) -> Iterator[Chunk]:
    if path.suffix != _BZIP2:
        with opened(path) as stream:
            while content := stream.read(_CHUNK_BYTES):
                yield Chunk(0, content)
        return
    start, stop = span or (0, path.stat().st_size)
    if start:
        yield from multistream.read_range(path, 0, 1)  # the first stream, which has no page
    yield from multistream.read_range(path, start, stop)


def _is_whole(path: Path, span: Span | None) -> bool:
    return span is None or span == (0, path.stat().st_size)


@dataclass
class _Reader:
    """The handlers of the XML parser, and what they have gathered."""

    site: str = "https://en.wikipedia.org/wiki/"
    namespaces: Namespaces = field(default_factory=Namespaces)
    page: Page | None = None
    pages: list[Page] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.parser = expat.ParserCreate()
        self.parser.buffer_text = True
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._characters
        self.parser.StartDoctypeDeclHandler = self._refuse_doctype
        self._fed_bytes = 0
        self._streams: list[int] = []
        self._starts: list[int] = []  # how much was fed before each of them
        self._collected: list[str] | None = None
        self._n_chars = self._depth = 0
        self._attributes: dict[str, str] = {}

    def feed(self, chunk: Chunk) -> None:
        """Parse what comes next."""
        if not self._streams or self._streams[-1] != chunk.stream:
            self._streams.append(chunk.stream)
            self._starts.append(self._fed_bytes)
        self._fed_bytes = feed(self.parser, chunk.content, self._fed_bytes)

    def end(self, *, is_last: bool) -> None:
        """See that the dump ends here, or before the next range that no page is open."""
        if is_last:
            self.parser.Parse(b"", True)
        elif self.page is not None:
            raise expat.ExpatError("a page does not end before the next range of pages")

    def take(self) -> list[Page]:
        """The pages gathered since the last call."""
        pages, self.pages = self.pages, []
        return pages

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        check_depth(self._depth)
        if tag == "page":
            place = self.parser.CurrentByteIndex
            stream = self._streams[bisect_right(self._starts, place) - 1]
            self.page = Page(stream or place, self.site, self.namespaces)
        elif tag == "redirect" and self.page is not None:
            self.page.redirect = True
        elif tag in _KEPT:
            self._collected, self._attributes, self._n_chars = [], attributes, 0

    def _characters(self, text: str) -> None:
        if self._collected is None:
            return
        self._n_chars += len(text)
        if self._n_chars <= MAX_DOCUMENT_BYTES:
            self._collected.append(text)
        elif self.page is None:
            raise ValueError(f"a tag before its pages holds more than {MAX_DOCUMENT_BYTES:,} characters")
        elif not self.page.too_long:
            self.page.too_long = True
            self._collected = ["".join(self._collected)[:SHOWN_BYTES]]

    def _end(self, tag: str) -> None:
        self._depth -= 1
        if tag == "page" and self.page is not None:
            if self.page.namespace == "0" and not self.page.redirect:
                self.pages.append(self.page)
            self.page = None
        elif self._collected is not None:
            self._set(tag, "".join(self._collected))
            self._collected = None

    def _set(self, tag: str, text: str) -> None:
        if self.page is not None:
            if tag in _OF_A_PAGE:
                setattr(self.page, _OF_A_PAGE[tag], text)
        elif tag == "base":
            self.site = text.rpartition("/")[0] + "/"
        elif tag == "namespace" and self._attributes.get("key") in (_MEDIA, _CATEGORY):
            self.namespaces = self.namespaces.also(text)

    def _refuse_doctype(self, *_: Any) -> None:
        # A dump has none; entities declared in one can blow a small file up to any size.
        raise expat.ExpatError("it declares a DOCTYPE, which no dump does")
