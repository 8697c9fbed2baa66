"""PubMed: articles of PubMed Central (JATS) and citations of MEDLINE, one document each.

A file may be XML, compressed or not, or a tar of such files. Licence, date and identifiers are those
of the article; a licence is "unknown" unless the article states it. ``byte_offset`` is that of
the article in its XML, after decompression.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, ClassVar, Literal

from pydantic import Field

from towpath.core.errors import DataError
from towpath.data.document import Document, Rejected
from towpath.data.sources.archives import gunzipped, is_gzip, members
from towpath.data.sources.file_source import FileSource
from towpath.data.sources.found import kind_of
from towpath.data.sources.jats import Article, ArticleParser
from towpath.data.sources.limits import NOT_XML, TooLarge, UnsafeXml
from towpath.data.sources.streams import DamagedFile, opened

_CHUNK_BYTES = 1 << 16
_XML_SUFFIXES = (".nxml", ".xml")
_URLS = {
    "pmc": "https://pmc.ncbi.nlm.nih.gov/articles/PMC{}/",
    "pmid": "https://pubmed.ncbi.nlm.nih.gov/{}/",
    "doi": "https://doi.org/{}",
}


class PubmedSource(FileSource):
    """JATS and MEDLINE files."""

    suffixes: ClassVar = (".nxml", ".xml", ".tar")

    type: Literal["pubmed"] = "pubmed"
    category: str = "academic"
    """What the mixture counts it as."""
    tables: bool = False
    """Whether tables are kept, a row a paragraph."""
    max_bytes: int = Field(default=100_000_000, ge=1)
    """Larger files in an archive, after decompression, are rejected."""

    def read_file(self, path: Path, place: str) -> Iterator[Document | Rejected]:
        """Every article of the file ``path``."""
        if kind_of(path) != ".tar":
            with opened(path) as stream:
                yield from self._articles(stream, place)
            return
        for member in members(path, self.max_bytes):
            name = f"{place}#{member.name}"
            if member.reason:
                yield self._rejected(member.content, name, member.byte_offset, member.reason)
            elif member.name.removesuffix(".gz").endswith(_XML_SUFFIXES):
                try:
                    content = (
                        gunzipped(member.content, self.max_bytes)
                        if is_gzip(member.content)
                        else member.content
                    )
                except TooLarge:
                    yield self._rejected(b"", name, member.byte_offset, "too_large")
                except DataError:
                    yield self._rejected(member.content, name, member.byte_offset, "damaged_member")
                else:
                    yield from self._articles(io.BytesIO(content), name)

    def _articles(self, stream: BinaryIO, place: str) -> Iterator[Document | Rejected]:
        parser = ArticleParser(tables=self.tables)
        n_articles, chunk, reason = 0, b"", ""
        try:
            while True:
                chunk = stream.read(_CHUNK_BYTES)
                found = parser.feed(chunk, last=not chunk)
                n_articles += len(found)
                yield from (self._document(article, place) for article in found)
                if not chunk:
                    break
        except UnsafeXml:
            reason = "unsafe_xml"
        except NOT_XML:
            reason = "damaged_xml" if chunk else "truncated_file"
        except DamagedFile as error:
            reason = error.reason
        if reason or n_articles == 0:
            yield self._rejected(chunk, place, max(parser.byte_offset, 0), reason or "no_article")

    def _document(self, article: Article, place: str) -> Document | Rejected:
        ids = {name: value for name, value in article.ids.items() if value}
        key = next((name for name in _URLS if name in ids), None)
        document = self.document(
            article.text,
            path=place,
            url=_URLS[key].format(ids[key].removeprefix("PMC")) if key else None,
            byte_offset=article.byte_offset,
            date=max(article.dates, key=len, default=None),
            licence=article.licence,
            meta={name: ids[name] for name in ("pmid", "pmc", "doi") if name in ids},
        )
        reason = article.reason or (None if article.text else "empty")
        return Rejected(document, reason) if reason else document

    def _rejected(self, content: bytes, place: str, byte_offset: int, reason: str) -> Rejected:
        text = content.decode("utf-8", "replace")
        return Rejected(self.document(text, path=place, byte_offset=byte_offset), reason)
