"""The Pile and OpenWebText2: lines of {"text", "meta"} in .jsonl.zst, or a tar of such files.

The tar form is what lm_dataformat writes (github.com/leogao2/lm_dataformat): members are Zstandard
files of JSON lines, whatever their names end with; a "text" may be a list of paragraphs there. A
document's subset (``pile_set_name``) and the other plain values of ``meta`` become its ``meta``;
"url" and "date" are taken where they are.
Gao et al. 2020, arXiv:2101.00027. ``byte_offset`` counts in the decompressed file or member.

Subsets are chosen with a weight: one below 1 keeps that share of its documents, by hash of their
ids, so the same ones each time; one above 1 keeps all, and the rest is the mixture's to repeat: name a
source for that subset alone and give the source the weight.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import Field, field_validator

from towpath.core.errors import DataError, did_you_mean
from towpath.data.document import Document, Domain, Rejected
from towpath.data.sources.archives import NOT_TAR, tar_files
from towpath.data.sources.file_source import FileSource
from towpath.data.sources.json_records import read_json
from towpath.data.sources.limits import MAX_DOCUMENT_BYTES
from towpath.data.sources.streams import (
    DamagedFile,
    Line,
    damage_named,
    decompressed,
    lines_of,
    opened,
    read_lines,
)
from towpath.data.wellformed import read_utf8

PILE_EPOCHS: Final = {
    "Pile-CC": 1.0,
    "PubMed Central": 2.0,
    "Books3": 1.5,
    "OpenWebText2": 2.0,
    "ArXiv": 2.0,
    "Github": 1.0,
    "FreeLaw": 1.5,
    "StackExchange": 2.0,
    "USPTO Backgrounds": 2.0,
    "PubMed Abstracts": 2.0,
    "Gutenberg (PG-19)": 2.5,
    "OpenSubtitles": 1.5,
    "Wikipedia (en)": 3.0,
    "DM Mathematics": 2.0,
    "Ubuntu IRC": 2.0,
    "BookCorpus2": 1.5,
    "EuroParl": 2.0,
    "HackerNews": 2.0,
    "YoutubeSubtitles": 2.0,
    "PhilPapers": 2.0,
    "NIH ExPorter": 2.0,
    "Enron Emails": 2.0,
}
"""The 22 subsets, and how often the Pile repeats each (table 1 of the paper)."""

SUBSET_LICENCES: Final = {"Wikipedia (en)": "CC-BY-SA-3.0", "DM Mathematics": "Apache-2.0"}
"""SPDX identifiers by subset, of those whose owners state one for all of it: Wikipedia's licence at the
time of the dump, and that of github.com/google-deepmind/mathematics_dataset. The paper and the datasheet
(arXiv:2201.07311) name none for the rest, which stay "unknown"."""

_DOMAINS: dict[str, Domain] = {"Github": "code", "Ubuntu IRC": "chat"}
"""Subsets that are not prose, so that the right filters judge them."""
_HASH_SPAN = 1 << 64


class JsonZstSource(FileSource):
    """What the Pile and OpenWebText2 share."""

    suffixes: ClassVar = (".jsonl", ".tar")

    path: str
    """A file, a folder or a glob of .jsonl.zst (also .gz or not compressed) or .jsonl.zst.tar files."""
    max_record_bytes: int = Field(default=MAX_DOCUMENT_BYTES, ge=1)
    """Longer lines are rejected as "record_too_long" without being parsed."""

    def read_file(self, path: Path, place: str) -> Iterator[Document | Rejected]:
        """The documents of one file, member after member where it is a tar."""
        if ".tar" in path.suffixes[-2:]:
            return self._from_tar(path, place)
        return self._from_lines(read_lines(path, self.max_record_bytes), place)

    def _from_tar(self, path: Path, place: str) -> Iterator[Document | Rejected]:
        found = False
        try:
            with opened(path) as stream:
                for member, content in tar_files(stream):
                    found = True
                    lines = _member_lines(content, member.name, self.max_record_bytes)
                    yield from self._from_lines(lines, f"{place}#{member.name}")
        except NOT_TAR as error:
            if not found:
                raise DataError(
                    f"{path} is not a tar of .jsonl.zst files: {error}. Fetch it again."
                ) from error
            reason = error.reason if isinstance(error, DamagedFile) else "damaged_file"
            yield Rejected(self.document("", path=place), reason)

    def _from_lines(self, lines: Iterable[Line], place: str) -> Iterator[Document | Rejected]:
        for line in lines:
            if line.problem is None and line.raw.isspace():
                continue
            reason, record = line.problem, None
            if reason is None:
                reason, record = _parsed(line.raw)
            if record is None:
                raw = self.document(read_utf8(line.raw), path=place, byte_offset=line.byte_offset)
                yield Rejected(raw, reason or "no_text")
            else:
                yield from self._from_record(record, place, line.byte_offset)

    def _from_record(self, record: Mapping[str, Any], place: str, offset: int) -> Iterator[Document]:
        facts = record.get("meta")
        meta = plain_values(facts) if isinstance(facts, Mapping) else {}
        yield self.document(
            record["text"],
            path=place,
            byte_offset=offset,
            url=_string(meta.pop("url", None)),
            date=_string(meta.pop("date", None)),
            meta=meta,
        )


class PileSource(JsonZstSource):
    """Documents of the Pile, by subset."""

    type: Literal["pile"] = "pile"
    subsets: dict[str, Annotated[float, Field(gt=0)]] = Field(default={})
    """Subsets to read with their weights, like ``"Wikipedia (en)" = 0.5``; all of them when empty."""

    @field_validator("subsets")
    @classmethod
    def _subsets_exist(cls, subsets: dict[str, float]) -> dict[str, float]:
        for name in subsets:
            if name not in PILE_EPOCHS:
                raise ValueError(
                    f"the Pile has no subset {name!r}.{did_you_mean(name, PILE_EPOCHS)} "
                    f"It has: {', '.join(PILE_EPOCHS)}."
                )
        return subsets

    def _from_record(self, record: Mapping[str, Any], place: str, offset: int) -> Iterator[Document]:
        for document in super()._from_record(record, place, offset):
            meta = dict(document.meta)
            subset = str(meta.pop("pile_set_name", ""))
            if not self.subsets or _chosen(document.id, self.subsets.get(subset, 0.0)):
                yield replace(
                    document,
                    domain=_DOMAINS.get(subset, self.domain),
                    licence=SUBSET_LICENCES.get(subset, self.licence),
                    meta={**meta, "subset": subset} if subset else meta,
                )


class OpenWebText2Source(JsonZstSource):
    """Documents of OpenWebText2: pages that Reddit linked to, with title, language, url and scores."""

    type: Literal["openwebtext2"] = "openwebtext2"
    min_reddit_score: int | None = None
    """Pages whose best link had a lower score are left out; None keeps all. OpenWebText2 itself took
    links of 3 or more (arXiv:2101.00027, section 2.3)."""

    def _from_record(self, record: Mapping[str, Any], place: str, offset: int) -> Iterator[Document]:
        for document in super()._from_record(record, place, offset):
            score = document.meta.get("max_reddit_scores")
            if self.min_reddit_score is None or not isinstance(score, int) or score >= self.min_reddit_score:
                yield document


def plain_values(facts: Mapping[str, Any]) -> dict[str, str | int | float | bool]:
    """The values of ``facts`` that a ``Document.meta`` can hold; of a list of numbers its maximum, as
    ``max_<name>``."""
    plain = {}
    for name, value in facts.items():
        if isinstance(value, str | int | float | bool):
            plain[name] = value
        elif isinstance(value, list) and value and all(type(item) in (int, float) for item in value):
            plain[f"max_{name}"] = max(value)
    return plain


def _parsed(raw: bytes) -> tuple[str | None, Mapping[str, Any] | None]:
    record, reason = read_json(raw)
    if reason:
        return reason, None
    text = record.get("text") if isinstance(record, Mapping) else None
    if isinstance(text, list) and all(isinstance(paragraph, str) for paragraph in text):
        return None, {**record, "text": "\n\n".join(text)}
    return (None, record) if isinstance(text, str) else ("no_text", None)


def _member_lines(content: Any, name: str, max_bytes: int) -> Iterator[Line]:
    offset = 0
    try:
        with damage_named(Path(name)), decompressed(content, ".zst") as stream:
            for line in lines_of(stream, max_bytes):
                yield line
                offset = line.byte_offset + 1
    except DamagedFile as error:
        yield Line(offset, b"", error.reason)


def _chosen(document_id: str, weight: float) -> bool:
    return int(document_id[:16], 16) < weight * _HASH_SPAN


def _string(value: Any) -> str | None:
    return value if isinstance(value, str) else None
