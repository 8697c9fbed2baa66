"""Mailing lists and forums as mbox files: one document a thread.

Threads follow In-Reply-To and References (RFC 5322) within a file, oldest message first. Quoted lines,
signatures and attachments are left out; names and addresses of the headers are not part of the text.
``byte_offset`` is that of the thread's first message. Memory holds the threads of one file, so keep
archives in a file a month, as Mailman writes them.
"""

from __future__ import annotations

import email
import email.policy
import email.utils
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC
from email.message import EmailMessage
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from towpath.data.document import Document, Domain, Rejected
from towpath.data.sources.file_source import FileSource
from towpath.data.sources.limits import TookTooLong, time_limit
from towpath.data.sources.streams import DamagedFile, lines_of, opened
from towpath.data.wellformed import read_utf8

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
        """What can't be read, then the threads of one file in the order of their first messages."""
        threads: dict[str, list[Mail]] = {}
        roots: dict[str, str] = {}
        for offset, raw in self._messages(path):
            mail, reason = (None, raw) if isinstance(raw, str) else self._parsed(offset, raw)
            if mail is None:
                text = "" if isinstance(raw, str) else read_utf8(raw[: self.max_message_bytes])
                yield Rejected(self.document(text, path=place, byte_offset=offset), reason)
                continue
            root = next((roots[name] for name in mail.parents if name in roots), mail.id)
            roots[mail.id] = root
            threads.setdefault(root, []).append(mail)
        for mails in threads.values():
            yield self._thread(mails, place)

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
                for line in lines_of(stream):
                    if after_blank and _START.match(line.raw) and message.strip():
                        yield start, bytes(message)
                        message = bytearray()
                    if not message:
                        start = line.byte_offset
                    if len(message) <= self.max_message_bytes:
                        message += line.raw
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
