"""Mailing lists and forums as mbox files: one document a thread.

Threads follow In-Reply-To and References (RFC 5322) within a file, oldest message first. Quoted lines,
signatures and attachments are left out; names and addresses of the headers are not part of the text.
``byte_offset`` is that of the thread's first message. Messages wait in a temporary SQLite file about as
large as their text, and memory holds one thread.
"""

from __future__ import annotations

import email
import email.policy
import email.utils
import re
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC
from email.message import EmailMessage
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from towpath.data.document import Document, Domain, Rejected
from towpath.data.sources.file_source import FileSource
from towpath.data.sources.limits import MAX_DOCUMENT_BYTES, SHOWN_BYTES, TookTooLong, time_limit
from towpath.data.sources.streams import DamagedFile, lines_of, opened
from towpath.data.wellformed import read_utf8

_ROW_CHARS = 64  # for what Python adds to each message
_START = re.compile(rb"From \S{1,200}(?: at \S{1,100})? .{0,40}\d{4}\s*$")
_ID = re.compile(r"<([^<>\s]{1,300})>")
_REPLY = re.compile(r"(?i)^(?:(?:re|aw|fwd?|sv)(?:\[\d{1,3}\])?:\s{0,4})+")
_LIST_TAG = re.compile(r"\[[\w .-]{1,40}\]\s{0,4}")
_QUOTED = re.compile(r"\s{0,3}>|On .{5,200}wrote:\s*$|-{2,}\s?Original Message\s?-{2,}")


class MailingListSource(FileSource):
    """Threads of mbox archives."""

    suffixes: ClassVar = (".mbox", ".txt")

    type: Literal["mailing_list"] = "mailing_list"
    path: str
    """A file, a folder or a glob of .mbox (or Mailman's .txt) files, also compressed."""
    domain: Domain = "chat"
    """Kind of text."""
    category: str = "conversation"
    """What the mixture counts it as."""
    keep_quotes: bool = False
    """Whether lines that quote an earlier message stay."""
    max_message_bytes: int = Field(default=1 << 20, ge=1)
    """Longer messages are rejected as "record_too_long"; most of them are attachments."""

    def read_file(self, path: Path, place: str) -> Iterator[Document | Rejected]:
        """What can't be read, then the threads of one file in the order of their first messages; of a
        thread of more than 16 MiB the first message alone, as "record_too_long"."""
        with tempfile.TemporaryDirectory() as folder, closing(_Mails(Path(folder))) as mails:
            for offset, raw in self._messages(path):
                mail, reason = (None, raw) if isinstance(raw, str) else self._parsed(offset, raw)
                if mail is None:
                    text = "" if isinstance(raw, str) else read_utf8(raw[:SHOWN_BYTES])
                    yield Rejected(self.document(text, path=place, byte_offset=offset), reason)
                else:
                    mails.add(mail)
            for thread, is_whole in mails.threads():
                found = self._thread(thread, place)
                if is_whole:
                    yield found
                else:
                    document = found.document if isinstance(found, Rejected) else found
                    yield Rejected(document, "record_too_long")

    def _thread(self, mails: list[Mail], place: str) -> Document | Rejected:
        mails.sort(key=lambda mail: (mail.date or "", mail.offset))
        parts = [mail.text for mail in mails if mail.text]
        first = min(mail.offset for mail in mails)
        text = "\n\n".join([mails[0].subject, *parts]).strip()
        meta = {"n_messages": len(mails)}
        document = self.document(text, path=place, byte_offset=first, date=mails[0].date, meta=meta)
        return document if parts else Rejected(document, "no_text")

    def _messages(self, path: Path) -> Iterator[tuple[int, bytes | str]]:
        """Each message's place and bytes; at the end of a damaged file the reason."""
        start, message, after_blank, end = 0, bytearray(), True, 0
        try:
            with opened(path) as stream:
                for line in lines_of(stream, self.max_message_bytes):
                    if after_blank and _START.match(line.raw) and message.strip():
                        yield start, bytes(message)
                        message = bytearray()
                    if not message:
                        start = line.byte_offset
                    if len(message) <= self.max_message_bytes:
                        message += line.raw
                    if line.problem:  # the line alone is longer than a message may be
                        message += bytes(self.max_message_bytes)
                    after_blank, end = line.raw.isspace(), line.byte_offset + len(line.raw)
        except DamagedFile as error:
            if not end:
                raise
            yield from [(start, bytes(message)), (end, error.reason)]
            return
        if message.strip():
            yield start, bytes(message)

    def _parsed(self, offset: int, raw: bytes) -> tuple[Mail | None, str]:
        if len(raw) > self.max_message_bytes:
            return None, "record_too_long"
        if not _START.match(raw.partition(b"\n")[0]):
            return None, "no_message"
        try:
            with time_limit():
                return self._mail(offset, raw.partition(b"\n")[2]), ""
        except TookTooLong:
            return None, "too_slow"
        except Exception:  # the parser's errors on broken headers are of many kinds
            return None, "bad_message"

    def _mail(self, offset: int, raw: bytes) -> Mail:
        message = email.message_from_bytes(raw, policy=email.policy.default)
        assert isinstance(message, EmailMessage)
        ids = _ID.findall(str(message["Message-ID"] or ""))
        parents = (
            _ID.findall(str(message["In-Reply-To"] or ""))
            + _ID.findall(str(message["References"] or ""))[::-1]
        )
        body = message.get_body(preferencelist=("plain",))
        content = body.get_content() if body is not None else ""
        subject = _REPLY.sub("", str(message["Subject"] or "").strip())
        subject = _REPLY.sub("", _LIST_TAG.sub("", subject, count=1)).strip()
        written = email.utils.parsedate_to_datetime(str(message["Date"])) if message["Date"] else None
        if written is not None and written.tzinfo is not None:
            written = written.astimezone(UTC)
        date = written.isoformat() if written else None
        return Mail(
            offset, ids[0] if ids else f"@{offset}", tuple(parents), subject, date, self._said(content)
        )

    def _said(self, content: str) -> str:
        lines = content.replace("\r\n", "\n").split("\n")
        if "-- " in lines:
            lines = lines[: lines.index("-- ")]
        kept = [line.rstrip() for line in lines if self.keep_quotes or not _QUOTED.match(line)]
        return re.sub(r"\n{3,}", "\n\n", "\n".join(kept)).strip()


class _Mails:
    """The messages of one archive, in a file."""

    def __init__(self, folder: Path) -> None:
        self.base = sqlite3.connect(folder / "mails.sqlite", isolation_level=None)
        self.base.execute("PRAGMA journal_mode = OFF")
        self.base.execute("PRAGMA synchronous = OFF")
        self.base.execute("CREATE TABLE mail (root TEXT, id TEXT, start INT, subject, date, text)")
        self.base.execute("CREATE TABLE thread_of (id TEXT PRIMARY KEY, root TEXT)")
        self.base.execute("BEGIN")

    def add(self, mail: Mail) -> None:
        """Take ``mail`` into the thread of the nearest message that it answers, or start one."""
        own = _valid(mail.id)
        root = next(filter(None, map(self._root_of, mail.parents)), own)
        self.base.execute("INSERT OR REPLACE INTO thread_of VALUES (?, ?)", [own, root])
        values = [root, own, mail.offset, _stored(mail.subject), mail.date, _stored(mail.text)]
        self.base.execute("INSERT INTO mail VALUES (?, ?, ?, ?, ?, ?)", values)

    def threads(self) -> Iterator[tuple[list[Mail], bool]]:
        """The messages of each thread in the order of their first ones, and whether they are all there."""
        self.base.execute("COMMIT")
        self.base.execute("CREATE INDEX by_root ON mail (root)")
        order = self.base.execute(
            "SELECT root, SUM(LENGTH(text) + ?) <= ? FROM mail GROUP BY root ORDER BY MIN(rowid)",
            [_ROW_CHARS, MAX_DOCUMENT_BYTES],
        )
        for root, is_whole in order:
            rows = self.base.execute(
                "SELECT start, id, subject, date, text FROM mail WHERE root = ? ORDER BY rowid LIMIT ?",
                [root, -1 if is_whole else 1],
            )
            mails = [
                Mail(start, own, (), _read(subject), date, _read(text))
                for start, own, subject, date, text in rows
            ]
            yield mails, bool(is_whole)

    def close(self) -> None:
        self.base.close()

    def _root_of(self, parent: str) -> str | None:
        found = self.base.execute("SELECT root FROM thread_of WHERE id = ?", [_valid(parent)]).fetchone()
        return found and found[0]


def _valid(text: str) -> str:
    """``text`` as SQLite takes it: lone surrogates become question marks."""
    return text.encode("utf-8", "replace").decode()


def _stored(text: str) -> bytes:
    """``text`` as bytes, lone surrogates too, which SQLite's strings can't hold."""
    return text.encode("utf-8", "surrogatepass")


def _read(stored: bytes) -> str:
    return stored.decode("utf-8", "surrogatepass")


@dataclass(frozen=True, slots=True)
class Mail:
    """One message."""

    offset: int
    id: str
    parents: tuple[str, ...]
    """Ids of the messages that it answers, nearest first."""
    subject: str
    """Without "Re:" and the list's tag."""
    date: str | None
    """ISO 8601 in UTC."""
    text: str
