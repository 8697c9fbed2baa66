"""Evaluation sets: the texts that training text must not hold.

Comes in: a JSON-lines or CSV file of a benchmark and the fields that are joined to a record, or any
source, of which every document is a record. Goes out: records with an id that names their place.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Literal

from pydantic import Field, model_validator

from towpath.core.config import Section
from towpath.core.errors import DataError
from towpath.data.document import Document
from towpath.data.sources import SOURCES, Digest, Source
from towpath.data.sources.streams import damage_named, opened


@dataclass(frozen=True, slots=True)
class EvaluationRecord:
    """One question, passage or program of an evaluation set."""

    id: str
    """``file#number`` counted from 1, or the id of a source's document."""
    text: str


class EvaluationSet(Section):
    """An evaluation set that is kept out of the training text.

    A document overlaps a record when they share a run of ``words`` words (Brown et al. 2020,
    arXiv:2005.14165, appendix C, with 13). Deviations: runs that are frequent in the training text count
    too, since a question that was copied often is the last to be learnt; and of a document nothing around
    the run goes with it. The report shows what was shared, so a common phrase is seen there.
    """

    task: str = Field(min_length=1)
    """Name in the report."""
    path: str | None = None
    """A .jsonl or .csv file, also as .gz, .bz2 or .zst; or ``sources``."""
    fields: tuple[str, ...] = ()
    """What of each line or row makes the record, joined by spaces; a list of strings is joined too."""
    sources: tuple[Annotated[Source, SOURCES.choice()], ...] = ()
    """Any sources, in the place of ``path``: each document is a record."""
    words: int = Field(default=13, ge=2, le=64)
    """Words in a row that count as an overlap."""
    min_words: int = Field(default=8, ge=1)
    """Records shorter than ``words`` must stand in a document as a whole; those shorter than this are
    ignored, and counted as ignored."""
    action: Literal["drop", "cut"] = "drop"
    """What is done with an overlap: the document is dropped, or the shared words are cut out of it. Chats
    are dropped all the same, and so are documents of which less than
    ``substrings.min_rest_chars`` is left."""
    max_examples: int = Field(default=10, ge=0)
    """Examples of overlaps in the report, at most."""

    @model_validator(mode="after")
    def _says_what_to_read(self) -> EvaluationSet:
        if (self.path is None) != bool(self.sources):
            raise ValueError(f"task {self.task!r}: give either 'path' with 'fields', or 'sources'.")
        if bool(self.fields) != (self.path is not None):
            raise ValueError(f"task {self.task!r}: 'fields' goes with 'path': which to join, in this order.")
        return self

    def fingerprint(self, sha256: Digest) -> str:
        """Digest of the set's content."""
        if self.path is not None:
            return sha256(self._file())
        return " ".join(source.fingerprint(sha256) for source in self.sources)

    def records(self) -> Iterator[EvaluationRecord]:
        """Every record; what sources reject is none.

        Raises:
            DataError: the file is missing or damaged, or a record has not all of ``fields``.
        """
        for found in chain.from_iterable(source.documents() for source in self.sources):
            if isinstance(found, Document):
                yield EvaluationRecord(found.id, found.text)
        if self.path is None:
            return
        path = self._file()
        with damage_named(path), opened(path) as stream:
            for number, row in enumerate(_rows(path, stream), 1):
                yield EvaluationRecord(f"{path.name}#{number}", self._joined(row, f"{path}, record {number}"))

    def _file(self) -> Path:
        path = Path(self.path or "")
        if not path.is_file():
            raise DataError(f"data.decontaminate, task {self.task!r}: there is no file {path}.")
        return path

    def _joined(self, row: Any, place: str) -> str:
        parts: list[str] = []
        for name in self.fields:
            value = row.get(name) if isinstance(row, dict) else None
            if value is None:
                known = ", ".join(map(str, row)) if isinstance(row, dict) else type(row).__name__
                raise DataError(f"{place} has no field {name!r}; it has: {known}. Change 'fields'.")
            parts += map(str, value) if isinstance(value, list) else [str(value)]
        return " ".join(parts)


def _rows(path: Path, stream: BinaryIO) -> Iterator[Any]:
    suffix = next((part for part in reversed(path.suffixes) if part in (".jsonl", ".csv")), None)
    if suffix == ".csv":
        yield from csv.DictReader(io.TextIOWrapper(stream, "utf-8-sig", newline=""))
    elif suffix == ".jsonl":
        for line in stream:
            if not line.isspace():
                try:
                    yield json.loads(line)
                except (ValueError, RecursionError) as error:
                    raise DataError(f"{path}: a line is no JSON ({error}): {line[:80]!r}") from error
    else:
        raise DataError(f"{path} is neither .jsonl nor .csv. For other files give 'sources'.")
