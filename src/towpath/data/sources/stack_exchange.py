"""Stack Exchange dumps: ``Posts.xml`` of a site, one document a question with its answers.

The accepted answer comes first, then the others by score; HTML becomes plain text with code blocks as
they are. Tag wikis and other kinds of post are left out. The XML is read twice as a stream: answers, which
may come long after their question, wait in a temporary SQLite file, so memory doesn't grow with the dump.
``byte_offset`` is that of the question's ``<row>`` in the decompressed XML.

Format: https://meta.stackexchange.com/q/2677. Licences by date: https://stackoverflow.com/help/licensing;
a document whose posts differ has them joined with "AND", as SPDX writes it.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final, Literal
from xml.parsers import expat

from pydantic import Field

from towpath.core.errors import DataError
from towpath.data.document import Document, Rejected
from towpath.data.sources import Piece
from towpath.data.sources.file_source import FileSource
from towpath.data.sources.limits import (
    MAX_DOCUMENT_BYTES,
    NOT_XML,
    SHOWN_BYTES,
    TookTooLong,
    UnsafeXml,
    check_depth,
    feed,
    safe_expat,
    time_limit,
)
from towpath.data.sources.streams import COMPRESSIONS, DamagedFile, opened

LICENCE_SINCE: Final = (("2018-05-02", "CC-BY-SA-4.0"), ("2011-04-08", "CC-BY-SA-3.0"), ("", "CC-BY-SA-2.5"))
"""First day (UTC) and licence of what was written from then on, latest first."""
_OWN_DOMAIN = {
    "askubuntu": "askubuntu.com",
    "mathoverflow": "mathoverflow.net",
    "serverfault": "serverfault.com",
    "stackapps": "stackapps.com",
    "stackoverflow": "stackoverflow.com",
    "superuser": "superuser.com",
}
_QUESTION, _ANSWER = "1", "2"
_CHUNK_BYTES = 1 << 18
_ROW_CHARS = 64


class StackExchangeSource(FileSource):
    """Questions and answers of Stack Exchange sites."""

    suffixes: ClassVar = (".xml", ".7z")

    type: Literal["stack_exchange"] = "stack_exchange"
    path: str
    """``Posts.xml`` (also compressed), or a folder or glob of them; in a folder only files with "Posts" in
    their name are read."""
    category: str = "conversation"
    """What the mixture counts it as."""
    site: str | None = None
    """The site's name or host; when it is not given, what precedes "Posts" in the file's name, else the
    file's folder."""
    min_score: int | None = None
    """Questions with a lower score are left out; None keeps all."""
    min_answer_score: int | None = None
    """Answers with a lower score are left out, unless accepted; None keeps all."""
    max_answers: int | None = Field(default=None, ge=0)
    """At most so many answers a question, the best ones; None keeps all."""
    min_answers: int = Field(default=0, ge=0)
    """Questions that keep fewer answers are left out."""

    def pieces(self) -> Sequence[Piece]:
        """The files with posts."""
        found = super().pieces()
        return [piece for piece in found if "posts" in piece.place.rpartition("/")[2].lower()] or found

    def read_file(self, path: Path, place: str) -> Iterator[Document | Rejected]:
        """Every question, in the dump's order, then answers whose question is not there."""
        if path.suffix == ".7z":
            raise DataError(
                f"{path} is a 7z archive, which can't be read as a stream. Unpack it first: "
                f"7z x -so {path.name} Posts.xml | gzip > {path.stem}.Posts.xml.gz"
            )
        host = _host(self.site or _site_of(path))
        with tempfile.TemporaryDirectory() as folder, closing(_Answers(Path(folder))) as answers:
            answers.fill(path)
            for item in _rows(path):
                if isinstance(item, _Damage):
                    yield Rejected(self.document("", path=place, byte_offset=item.offset), item.reason)
                elif item.facts.get("PostTypeId") == _QUESTION:
                    yield from self._question(item, answers, place, host)
            for offset, raw in answers.without_question():
                yield Rejected(self.document(raw, path=place, byte_offset=offset), "no_question")

    def _question(self, row: _Row, answers: _Answers, place: str, host: str) -> Iterator[Document | Rejected]:
        facts = row.facts
        score = _number(facts.get("Score"))
        if self.min_score is not None and score < self.min_score:
            return
        if answers.size_of(facts.get("Id", "")) > MAX_DOCUMENT_BYTES:
            start = facts.get("Body", "")[:SHOWN_BYTES]
            yield Rejected(self.document(start, path=place, byte_offset=row.offset), "record_too_long")
            return
        chosen = self._chosen(answers.of(facts.get("Id", "")), facts.get("AcceptedAnswerId"))
        if len(chosen) < self.min_answers:
            return
        try:
            with time_limit():
                texts = [plain_text(post.body) for post in chosen]
                question = f"{facts.get('Title', '')}\n\n{plain_text(facts.get('Body', ''))}".strip()
        except TookTooLong:
            yield Rejected(
                self.document(facts.get("Body", ""), path=place, byte_offset=row.offset), "too_slow"
            )
            return
        dates = [(facts.get("CreationDate", ""), facts.get("ContentLicense", ""))]
        dates += [(post.date, post.licence) for post in chosen]
        yield self.document(
            "\n\n".join([f"Q: {question}", *(f"A: {text}" for text in texts)]),
            path=place,
            url=f"https://{host}/questions/{facts.get('Id', '')}",
            byte_offset=row.offset,
            date=facts.get("CreationDate"),
            licence=licence_of(dates),
            meta={
                "site": host,
                "score": score,
                "tags": _tags(facts.get("Tags", "")),
                "n_answers": len(chosen),
                "accepted": bool(chosen) and chosen[0].id == facts.get("AcceptedAnswerId"),
            },
        )

    def _chosen(self, answers: list[Answer], accepted: str | None) -> list[Answer]:
        answers.sort(key=lambda answer: (answer.id != accepted, -answer.score, answer.offset))
        least = self.min_answer_score
        good = [one for one in answers if least is None or one.score >= least or one.id == accepted]
        return good[: self.max_answers]


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer as the dump holds it."""

    id: str
    score: int
    offset: int
    body: str
    """HTML."""
    date: str
    licence: str
    """As the dump names it, empty in older ones."""


@dataclass(frozen=True, slots=True)
class _Row:
    offset: int
    facts: dict[str, str]


@dataclass(frozen=True, slots=True)
class _Damage:
    offset: int
    reason: str


class _Answers:
    """The answers of one dump, in a file."""

    def __init__(self, folder: Path) -> None:
        self.base = sqlite3.connect(folder / "answers.sqlite", isolation_level=None)
        self.base.execute("PRAGMA journal_mode = OFF")
        self.base.execute("PRAGMA synchronous = OFF")
        self.base.execute("CREATE TABLE question (id TEXT)")
        self.base.execute("CREATE TABLE answer (parent TEXT, id, score INT, start INT, body, date, licence)")

    def fill(self, path: Path) -> None:
        """Gather the answers of the dump ``path``."""
        self.base.execute("BEGIN")
        for item in _rows(path):
            if isinstance(item, _Row) and item.facts.get("PostTypeId") == _ANSWER:
                facts = item.facts
                values = [
                    facts.get("ParentId", ""),
                    facts.get("Id", ""),
                    _number(facts.get("Score")),
                    item.offset,
                ]
                values += [facts.get(name, "") for name in ("Body", "CreationDate", "ContentLicense")]
                self.base.execute("INSERT INTO answer VALUES (?, ?, ?, ?, ?, ?, ?)", values)
            elif isinstance(item, _Row) and item.facts.get("PostTypeId") == _QUESTION:
                self.base.execute("INSERT INTO question VALUES (?)", [item.facts.get("Id", "")])
        self.base.execute("COMMIT")
        self.base.execute("CREATE INDEX by_parent ON answer (parent)")
        self.base.execute("CREATE INDEX by_id ON question (id)")

    def size_of(self, question: str) -> int:
        """Characters of the answers to ``question``, with some for what Python adds to each."""
        query = "SELECT SUM(LENGTH(body) + ?) FROM answer WHERE parent = ?"
        return self.base.execute(query, [_ROW_CHARS, question]).fetchone()[0] or 0

    def of(self, question: str) -> list[Answer]:
        """The answers to ``question``."""
        rows = self.base.execute(
            "SELECT id, score, start, body, date, licence FROM answer WHERE parent = ?", [question]
        )
        return [Answer(*row) for row in rows]

    def without_question(self) -> Iterator[tuple[int, str]]:
        """Place and HTML of the answers to questions that are not in the dump."""
        query = "SELECT start, body FROM answer WHERE parent NOT IN (SELECT id FROM question) ORDER BY start"
        yield from self.base.execute(query)

    def close(self) -> None:
        self.base.close()


def _rows(path: Path) -> Iterator[_Row | _Damage]:
    """The rows of the dump; a damaged or cut one ends with what happened.

    Raises:
        DataError: there is no row before the damage, or the XML declares entities.
    """
    rows: list[_Row] = []
    parser = safe_expat()

    depth = 0

    def start(name: str, facts: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        check_depth(depth)
        if name == "row":
            rows.append(_Row(parser.CurrentByteIndex, facts))

    def end(_: str) -> None:
        nonlocal depth
        depth -= 1

    parser.StartElementHandler, parser.EndElementHandler = start, end
    found, fed_bytes = False, 0
    try:
        with opened(path) as stream:
            while chunk := stream.read(_CHUNK_BYTES):
                fed_bytes = feed(parser, chunk, fed_bytes)
                found = found or bool(rows)
                yield from rows
                rows.clear()
            parser.Parse(b"", True)
    except UnsafeXml as error:
        raise DataError(f"{path}: {error}") from error
    except (*NOT_XML, DamagedFile) as error:
        yield from rows
        reason = _reason(error)
        if not (found or rows) and reason != "too_large":
            raise DataError(f"{path} is not a Stack Exchange dump: {error}. Expected Posts.xml.") from error
        yield _Damage(max(parser.CurrentByteIndex, 0), reason)


def _reason(error: Exception) -> str:
    if isinstance(error, DamagedFile):
        return error.reason
    if not isinstance(error, expat.ExpatError):
        return "damaged_file"
    ends = (expat.errors.XML_ERROR_NO_ELEMENTS, expat.errors.XML_ERROR_UNCLOSED_TOKEN)
    return "truncated_file" if expat.errors.messages[error.code] in ends else "damaged_file"


def plain_text(html: str) -> str:
    """The text of a post: paragraphs and lists as lines, code blocks as they are."""
    from resiliparse.extract.html2text import extract_plain_text

    return extract_plain_text(html, preserve_formatting=True, main_content=False, list_bullets=True).strip()


def licence_of(posts: Sequence[tuple[str, str]]) -> str:
    """The licence of posts given as (date, licence as the dump names it): by date where it names none."""
    found = {
        name.replace(" ", "-") if name else next(spdx for since, spdx in LICENCE_SINCE if date >= since)
        for date, name in posts
    }
    return " AND ".join(sorted(found))


def _tags(tags: str) -> str:
    """``<a><b>`` or ``|a|b|`` as ``a, b``."""
    return ", ".join(tags.replace("><", "|").strip("<>|").split("|")) if tags else ""


def _number(value: Any) -> int:
    try:
        return int(value)
    except (TypeError, ValueError):
        return 0


def _site_of(path: Path) -> str:
    name = path.name.removesuffix(path.suffix) if path.suffix in COMPRESSIONS else path.name
    before = name.removesuffix(".xml").removesuffix("Posts").rstrip(".-_")
    return before or path.resolve().parent.name


def _host(site: str) -> str:
    return site if "." in site else _OWN_DOMAIN.get(site, f"{site}.stackexchange.com")
