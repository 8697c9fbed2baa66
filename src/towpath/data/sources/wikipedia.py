"""Wikipedia dumps: MediaWiki XML, as it is or compressed, one document an article.

The XML is read as a stream, so memory does not grow with the dump; concatenated bzip2 streams
(``multistream``) are read like one. Redirects and pages outside the article namespace are left
out. A text is the title, a blank line, and the article's wikitext as plain text. ``byte_offset``
is that of the ``<page>`` element in the decompressed XML.
Format: https://www.mediawiki.org/xml/export-0.11.xsd
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal
from urllib.parse import quote
from xml.parsers import expat

from towpath.core.errors import DataError
from towpath.data.document import Document, Rejected
from towpath.data.sources.file_source import FileSource
from towpath.data.sources.limits import (
    MAX_DOCUMENT_BYTES,
    NOT_XML,
    SHOWN_BYTES,
    TookTooLong,
    check_depth,
    feed,
    time_limit,
)
from towpath.data.sources.streams import DamagedFile, opened
from towpath.data.sources.wikitext import Namespaces, plain_text

_CHUNK_BYTES = 1 << 20
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

    def read_file(self, path: Path, place: str) -> Iterator[Document | Rejected]:
        """Every article, in the dump's order; then a rejected one where a dump is cut short."""
        page = None
        pages = read_pages(path)
        while True:
            try:
                page = next(pages)
            except StopIteration:
                return
            except DataError as error:
                if page is None:
                    raise
                reason = error.reason if isinstance(error, DamagedFile) else "truncated_file"
                yield Rejected(self.document("", path=place, byte_offset=page.byte_offset + 1), reason)
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


def read_pages(path: Path) -> Iterator[Page]:
    """The articles of the dump ``path``.

    Raises:
        DataError: the file is cut short, damaged or not XML.
    """
    reader, fed_bytes = _Reader(), 0
    with opened(path) as stream:
        try:
            while chunk := stream.read(_CHUNK_BYTES):
                fed_bytes = feed(reader.parser, chunk, fed_bytes)
                yield from reader.take()
            reader.parser.Parse(b"", True)
        except NOT_XML as error:
            yield from reader.take()  # whole articles before the damage
            raise DataError(
                f"{path} is not a whole MediaWiki dump: {error}. "
                "Expected an uncut pages-articles file; fetch it again."
            ) from error
    yield from reader.take()


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
        self._collected: list[str] | None = None
        self._n_chars = self._depth = 0
        self._attributes: dict[str, str] = {}

    def take(self) -> list[Page]:
        """The pages gathered since the last call."""
        pages, self.pages = self.pages, []
        return pages

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        check_depth(self._depth)
        if tag == "page":
            self.page = Page(self.parser.CurrentByteIndex, self.site, self.namespaces)
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
