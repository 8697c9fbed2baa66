"""Looking at documents: kept or dropped, why, and what cleaning changed.

What a document was before cleaning is read again from its source, so it can be shown as long as
the source is where it was.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from towpath.core.artifacts import Artifact
from towpath.core.errors import DataError, did_you_mean
from towpath.data.document import Document, Rejected
from towpath.data.documents import Documents
from towpath.data.parts import part_paths, read_table, to_documents
from towpath.data.sources import SOURCES, Source
from towpath.data.verdicts import DROPPED, SPLITS

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Seen:
    """A document and what was decided about it."""

    split: str
    """train, validation or dropped."""
    document: Document
    reason: str | None = None
    """Why it was dropped."""
    duplicate_of: str | None = None
    """The id of the document that stayed in its place."""


def look(
    artifact: Artifact, split: str = "train", source: str | None = None, reason: str | None = None
) -> Iterator[Seen]:
    """The documents of ``split``, of one source or of all, dropped for ``reason`` or for any.

    Raises:
        DataError: no document was dropped for this reason.
    """
    documents = Documents(artifact)
    if reason is not None:
        known = {name for counted in documents.reasons().values() for name in counted}
        if reason not in known:
            raise DataError(
                f"Nothing was dropped for {reason!r}.{did_you_mean(reason, known)} "
                f"There are: {', '.join(sorted(known)) or 'none'}."
            )
    sources = documents.sources(split)
    if source is not None and source not in sources:
        documents.iterate(split, source)  # says which there are
    for name in sources if source is None else [source]:
        for path in part_paths(artifact.path / split / name):
            yield from _seen(read_table(path), split, reason)


def _seen(table: pa.Table, split: str, reason: str | None) -> Iterator[Seen]:
    decided = {
        name: table[name].to_pylist() if name in table.column_names else [None] * table.num_rows
        for name in ("reason", "duplicate_of")
    }
    for row, document in enumerate(to_documents(table)):
        if reason is None or decided["reason"][row] == reason:
            yield Seen(split, document, decided["reason"][row], decided["duplicate_of"][row])


def find(artifact: Artifact, identifier: str) -> Seen:
    """The document with this id, or with the only id that starts so.

    Raises:
        DataError: there is none, or more than one.
    """
    fits = [
        (split, path, row)
        for split in SPLITS
        for path in sorted((artifact.path / split).glob("*/part-*.parquet"))
        for row, known in enumerate(read_table(path, ["id"])["id"].to_pylist())
        if known.startswith(identifier)
    ]
    if len(fits) == 1:
        split, path, row = fits[0]
        return next(_seen(read_table(path).slice(row, 1), split, None))
    problem = f"{len(fits)} documents have ids that start so" if fits else "no document has this id"
    raise DataError(f"{identifier!r}: {problem} in {artifact.path}.")


def as_read(artifact: Artifact, document: Document) -> str:
    """The text of ``document`` as its source gives it, before cleaning.

    Raises:
        DataError: the source is gone, or does not hold the document any more.
    """
    source = _source(artifact, document.source)
    for piece in source.pieces():
        if piece.place and document.path and not document.path.startswith(piece.place):
            continue
        for item in source.read(piece):
            found = item.document if isinstance(item, Rejected) else item
            if found.id == document.id:
                return found.text
    raise DataError(f"The source {document.source!r} no longer holds document {document.id}.")


def _source(artifact: Artifact, name: str) -> Source:
    given = next(source for source in artifact.config["sources"] if source["name"] == name)
    section = SOURCES.load(given["type"]).model_validate(given)
    assert isinstance(section, Source)
    return section


def difference(before: str, after: str) -> str:
    """What changed from ``before`` to ``after``, as a unified diff; empty when nothing did."""
    lines = difflib.unified_diff(
        before.splitlines(), after.splitlines(), "as read", "as kept", lineterm="", n=2
    )
    return "\n".join(lines)


def summary(seen: Seen, n_characters: int) -> str:
    """A document in a few lines: origin, decision, the start of its text."""
    document = seen.document
    place = document.url or document.path or ""
    fate = seen.split if seen.split != DROPPED else f"dropped: {seen.reason}"
    if seen.duplicate_of:
        fate += f" of {seen.duplicate_of}"
    text = document.text if len(document.text) <= n_characters else f"{document.text[:n_characters]} …"
    text = text if n_characters else ""
    facts = f"{document.source}  {place}  {len(document.text):,} characters  {document.licence}"
    return f"{document.id}  {fate}\n{facts}\n\n{text}\n"
