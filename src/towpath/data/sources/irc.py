"""IRC logs: one document a conversation, cut where the channel was silent.

Known are the lines of the Ubuntu channel logs and energymech (``[12:34] <nick> text``, ``=== nick has
joined``), irssi (``12:34 <@nick> text``, ``12:34 -!- ...``, ``--- Day changed ...``), HexChat (``Jan 01
12:34:56 <nick> text``) and WeeChat (date, nick and text between tabs). What people said and did
(``* nick waves``) stays, one line each; joins, modes, topics and lines of no known form are dropped.
Lines that aren't UTF-8 are read as Windows-1252, as clients of the time wrote them. ``byte_offset`` is
that of the conversation's first line.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from towpath.data.document import Document, Domain, Rejected
from towpath.data.sources.file_source import FileSource
from towpath.data.sources.limits import MAX_DOCUMENT_BYTES, TookTooLong, TooLarge, time_limit
from towpath.data.sources.streams import Line, read_lines

_MAX_LINE_BYTES = 64 << 10  # RFC 1459 has 512; bridges to other networks write longer ones
_DAY_MINUTES = 24 * 60
_NICK = r"[^\s<>]{1,64}"
_TIME = (
    r"(?:\[?(?:(?P<date>\d{4}-\d\d-\d\d)[ T]|[A-Z][a-z]{2} \d\d )?"
    r"(?P<hour>\d\d):(?P<minute>\d\d)(?::\d\d)?\]?[ \t]{1,4})?"
)
_SAID = re.compile(_TIME + rf"[<(][~&@%+! ]?(?P<nick>{_NICK})[>)][ \t](?P<text>.*)")
_DID = re.compile(_TIME + rf"(?:\*|===)[ \t]{{1,4}}(?P<nick>{_NICK})[ \t](?P<text>.*)")
_WEECHAT = re.compile(_TIME + rf"(?P<mark>[~&@%+]?)(?P<nick>{_NICK}|[ ]?\*)\t(?P<text>.*)")
_WEECHAT_SYSTEM = ("-->", "<--", "--", "=!=")
_HAPPENED = re.compile(
    r"\[[^\]]{0,200}\]\s{1,4}has (?:joined|left|quit)|has (?:joined|left|quit|changed the topic|set)\b|"
    r"(?:is now known as|sets? mode|was kicked|kicked from|changes topic|\(?topic)|mode/#|[+-][a-zA-Z]+ by\b"
)
_NAME = re.compile(r"[A-Za-z0-9\[\]{}^`|\\_-]+")
_MIN_NAME_CHARS = 3
_MAX_NAMES = 200_000  # a log of a busy channel's day has some thousand


class IrcSource(FileSource):
    """Conversations of IRC logs."""

    suffixes: ClassVar = (".txt", ".log", ".weechatlog")

    type: Literal["irc"] = "irc"
    path: str
    """A log, a folder or a glob of .txt, .log or .weechatlog files, also compressed."""
    domain: Domain = "chat"
    """Kind of text."""
    category: str = "conversation"
    """What the mixture counts it as."""
    silence_minutes: int = Field(default=30, ge=1)
    """A silence as long as this ends a conversation. Logs without times are cut by ``max_lines`` alone."""
    min_lines: int = Field(default=2, ge=1)
    """Shorter conversations are rejected as "too_few_lines"."""
    max_lines: int = Field(default=500, ge=1)
    """Longer conversations are cut after so many lines."""
    pseudonyms: bool = True
    """Whether names of people become user1, user2 and so on, in the order in which a log first shows
    them: who speaks, and who is spoken of by a name of three letters or more."""

    def read_file(self, path: Path, place: str) -> Iterator[Document | Rejected]:
        """The conversations of one log."""
        try:
            names = _names(read_said(path)) if self.pseudonyms else {}
        except TooLarge:
            yield Rejected(self.document("", path=place, byte_offset=0), "too_many_names")
            return
        found = False
        for said in self._conversations(read_said(path)):
            found = True
            if isinstance(said, Line):
                damaged = self.document("", path=place, byte_offset=said.byte_offset)
                yield Rejected(damaged, said.problem or "")
                continue
            yield self._conversation(said, names, place)
        if not found:
            yield Rejected(self.document("", path=place, byte_offset=0), "no_messages")

    def _conversation(self, said: list[Said], names: dict[str, str], place: str) -> Document | Rejected:
        reason = "too_few_lines" if len(said) < self.min_lines else None
        try:
            with time_limit():
                text = "\n".join(line.shown(names) for line in said)
        except TookTooLong:
            text, reason = "\n".join(line.shown({}) for line in said), "too_slow"
        meta = {"n_lines": len(said), "n_people": len({line.nick for line in said})}
        date = next((line.date for line in said if line.date), None)
        document = self.document(text, path=place, byte_offset=said[0].offset, date=date, meta=meta)
        return Rejected(document, reason) if reason else document

    def _conversations(self, lines: Iterable[Said | Line]) -> Iterator[list[Said] | Line]:
        current: list[Said] = []
        n_chars = 0
        for line in lines:
            full = isinstance(line, Said) and n_chars + len(line.text) > MAX_DOCUMENT_BYTES
            if full or isinstance(line, Line) or self._ends(current, line):
                if current:
                    yield current
                current, n_chars = [], 0
            if isinstance(line, Line):
                yield line
            else:
                current.append(line)
                n_chars += len(line.text)
        if current:
            yield current

    def _ends(self, current: list[Said], line: Said) -> bool:
        if not current or len(current) >= self.max_lines:
            return bool(current)
        last = current[-1]
        if last.date and line.date and last.date != line.date and last.minute is not None:
            return (line.minute or 0) + _DAY_MINUTES - last.minute >= self.silence_minutes
        if last.minute is None or line.minute is None:
            return False
        return (line.minute - last.minute) % _DAY_MINUTES >= self.silence_minutes


@dataclass(frozen=True, slots=True)
class Said:
    """One line that somebody wrote."""

    offset: int
    nick: str
    text: str
    is_action: bool
    minute: int | None
    """Of the day, where the log has times."""
    date: str | None

    def shown(self, names: dict[str, str]) -> str:
        """The line of a document; ``names`` maps those that are replaced."""
        nick, text = names.get(self.nick, self.nick), self.text
        if names:
            text = _NAME.sub(
                lambda match: names.get(match[0], match[0]) if _is_named(match) else match[0], text
            )
        return f"* {nick} {text}" if self.is_action else f"<{nick}> {text}"


def _is_named(match: re.Match[str]) -> bool:
    return len(match[0]) >= _MIN_NAME_CHARS or match.start() == 0


def read_said(path: Path) -> Iterator[Said | Line]:
    """What people said and did in the log ``path``, and what of it can't be read."""
    for line in read_lines(path, _MAX_LINE_BYTES):
        if line.problem:
            yield line
        elif said := parse(_decoded(line.raw), line.byte_offset):
            yield said


def parse(line: str, offset: int = 0) -> Said | None:
    """One line of a log; None when nobody says or does anything in it."""
    line = line.rstrip("\r\n\x00 ").removeprefix("\ufeff")
    match = _SAID.match(line)
    is_action = match is None
    if match is None and "\t" in line and (match := _WEECHAT.match(line)):
        nick, text = match["nick"].strip(), match["text"]
        if nick in _WEECHAT_SYSTEM:
            return None
        is_action = nick == "*"
        if is_action:
            nick, _, text = text.partition(" ")
        return _said(match, offset, nick, text, is_action)
    if match is None:
        match = _DID.match(line)
        if match is None or _HAPPENED.search(match["text"]):
            return None
    return _said(match, offset, match["nick"], match["text"], is_action)


def _said(match: re.Match[str], offset: int, nick: str, text: str, is_action: bool) -> Said | None:
    if not text.strip() or not nick:
        return None
    minute = None if match["hour"] is None else int(match["hour"]) * 60 + int(match["minute"])
    return Said(offset, nick, text.rstrip(), is_action, minute, match["date"])


def _names(lines: Iterable[Said | Line]) -> dict[str, str]:
    names: dict[str, str] = {}
    for line in lines:
        if isinstance(line, Said):
            names.setdefault(line.nick, f"user{len(names) + 1}")
            if len(names) > _MAX_NAMES:
                raise TooLarge(f"The log has more than {_MAX_NAMES:,} names.")
    return names


def _decoded(raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("cp1252", "replace")
