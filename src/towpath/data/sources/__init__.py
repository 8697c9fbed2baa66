"""Sources: what can be read as documents.

To add one: a file with a ``Source`` whose ``documents`` yields them in an order that depends on
the input alone and whose ``fingerprint`` changes when the input does, and a line in ``SOURCES``.
A record that can't be a document is yielded as ``Rejected``; a file that can't be read to its
end is a ``DataError`` that names it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from towpath.core.catalogue import Catalogue
from towpath.core.config import Section
from towpath.data.document import Document, Domain, Message, Rejected, document_id

SOURCES = Catalogue(
    "source",
    {
        "chitchat": "towpath.data.sources.chitchat:ChitchatSource",
        "factbook": "towpath.data.sources.factbook:FactbookSource",
        "files": "towpath.data.sources.files:FilesSource",
        "human_eval": "towpath.data.sources.human_eval:HumanEvalSource",
        "python_stdlib": "towpath.data.sources.python_stdlib:PythonStdlibSource",
        "wikipedia": "towpath.data.sources.wikipedia:WikipediaSource",
    },
    group="towpath.sources",
)

Digest = Callable[[Path], str]
"""SHA-256 of a file, hexadecimal; may remember files that have not changed."""


class Source(Section):
    """What every source has."""

    name: str = Field(default="", pattern="^[a-z0-9][a-z0-9_-]*$")
    """Name in artifacts, tables and metrics; the type when it is not given."""
    weight: float = Field(default=1.0, gt=0)
    """Share of the training mixture, relative to the other sources' weights."""
    domain: Domain = "prose"
    """Kind of text: prose, chat or code. Filters say which kinds they judge."""
    licence: str = "unknown"
    """SPDX identifier of the texts' licence."""

    @model_validator(mode="before")
    @classmethod
    def _named_after_its_type(cls, values: Any) -> Any:
        if isinstance(values, dict) and "name" not in values:
            return {"name": cls.model_fields["type"].default, **values}
        return values

    def documents(self) -> Iterator[Document | Rejected]:
        """Every document of the input, in an order that depends on the input alone."""
        raise NotImplementedError

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
        messages: tuple[Message, ...] | None = None,
    ) -> Document:
        """A document of this source."""
        return Document(
            id=document_id(self.name, url or path, byte_offset),
            text=text,
            source=self.name,
            domain=self.domain,
            url=url,
            path=path,
            byte_offset=byte_offset,
            licence=self.licence,
            date=date,
            messages=messages,
        )
