"""Sources: what can be read as documents.

To add one: a file with a ``Source`` and a line in ``SOURCES``. What is in files is a ``FileSource``
(``towpath.data.sources.file_source``), which needs its kinds of file and ``read_file`` alone.
A source is read piece by piece, in as many processes as there are; a piece yields its documents in
an order that depends on the input alone, and ``fingerprint`` changes when the input does.
A record that can't be a document is yielded as ``Rejected``; a file that can't be read to its
end is a ``DataError`` that names it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from towpath.core.catalogue import Catalogue
from towpath.core.config import Section
from towpath.data.document import Document, Domain, Message, Meta, Rejected, document_id

SOURCES = Catalogue(
    "source",
    {
        "arxiv": "towpath.data.sources.arxiv:ArxivSource",
        "books": "towpath.data.sources.books:BooksSource",
        "chitchat": "towpath.data.sources.chitchat:ChitchatSource",
        "code_files": "towpath.data.sources.code_files:CodeFilesSource",
        "common_crawl": "towpath.data.sources.common_crawl:CommonCrawlSource",
        "documentation": "towpath.data.sources.documentation:DocumentationSource",
        "factbook": "towpath.data.sources.factbook:FactbookSource",
        "files": "towpath.data.sources.files:FilesSource",
        "github": "towpath.data.sources.github:GithubSource",
        "html": "towpath.data.sources.html:HtmlSource",
        "huggingface": "towpath.data.sources.huggingface:HuggingfaceSource",
        "human_eval": "towpath.data.sources.human_eval:HumanEvalSource",
        "irc": "towpath.data.sources.irc:IrcSource",
        "literature": "towpath.data.sources.literature:LiteratureSource",
        "mailing_list": "towpath.data.sources.forum:MailingListSource",
        "openwebtext2": "towpath.data.sources.pile:OpenWebText2Source",
        "pdf": "towpath.data.sources.pdf:PdfSource",
        "pile": "towpath.data.sources.pile:PileSource",
        "pubmed": "towpath.data.sources.pubmed:PubmedSource",
        "python_stdlib": "towpath.data.sources.python_stdlib:PythonStdlibSource",
        "reddit": "towpath.data.sources.reddit:RedditSource",
        "stack_exchange": "towpath.data.sources.stack_exchange:StackExchangeSource",
        "warc": "towpath.data.sources.warc:WarcSource",
        "wikipedia": "towpath.data.sources.wikipedia:WikipediaSource",
    },
    group="towpath.sources",
)

Digest = Callable[[Path], str]
"""SHA-256 of a file, hexadecimal; may remember files that have not changed."""


_CATEGORIES = {"code": "code", "chat": "conversation"}


@dataclass(frozen=True, slots=True)
class Piece:
    """What one worker reads from start to end: a file, or a whole source that is small."""

    place: str
    """Path below the source's root, with forward slashes, or address: the same on every machine."""
    size_bytes: int = 0
    """Size as stored; small neighbours are read by one worker."""
    span: tuple[int, int] | None = None
    """Start and stop in the file, as stored, of what belongs to the piece; None for all of it."""


class Source(Section):
    """What every source has."""

    name: str = Field(default="", pattern="^[a-z0-9][a-z0-9_-]*$")
    """Name in artifacts, tables and metrics; the type when it is not given."""
    weight: float = Field(default=1.0, gt=0)
    """Share of the training mixture, relative to the other sources' weights."""
    domain: Domain = "prose"
    """Kind of text: prose, chat or code. Filters say which kinds they judge."""
    category: str = Field(default="", pattern="^[a-z][a-z0-9_-]*$")
    """What the mixture counts it as: web, books, academic, code, conversation or a name of your own;
    when it is not given, by the kind of source and of text."""
    licence: str = "unknown"
    """SPDX identifier of the texts' licence."""

    @model_validator(mode="before")
    @classmethod
    def _named_and_counted_by_its_type(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        fields = cls.model_fields
        domain = values.get("domain", fields["domain"].default)
        category = fields["category"].default or _CATEGORIES.get(domain, "web")
        return {"name": fields["type"].default, "category": category, **values}

    def pieces(self) -> Sequence[Piece]:
        """What can be read apart, in reading order; one piece unless a source says otherwise."""
        return (Piece(""),)

    def read(self, piece: Piece) -> Iterator[Document | Rejected]:
        """Every document of ``piece``, in an order that depends on the input alone."""
        raise NotImplementedError

    def documents(self) -> Iterator[Document | Rejected]:
        """Every document of the input, piece after piece."""
        return chain.from_iterable(map(self.read, self.pieces()))

    def fingerprint(self, sha256: Digest) -> str:
        """Digest of the input's content: the same input gives the same on every machine."""
        raise NotImplementedError

    def document(
        self,
        text: str,
        *,
        path: str | None = None,
        url: str | None = None,
        byte_offset: int | None = None,
        date: str | None = None,
        licence: str | None = None,
        messages: tuple[Message, ...] | None = None,
        meta: Meta | None = None,
    ) -> Document:
        """A document of this source; ``licence`` is its own where it differs from the source's."""
        return Document(
            id=document_id(self.name, url or path, byte_offset),
            text=text,
            source=self.name,
            domain=self.domain,
            url=url,
            path=path,
            byte_offset=byte_offset,
            licence=licence or self.licence,
            date=date,
            messages=messages,
            meta=meta or {},
        )
