"""Reddit dumps: submissions and comments as JSON lines, threads rebuilt, one document a thread.

The files are those of Pushshift (Baumgartner et al. 2020, arXiv:2001.08435): ``RS_2012-01.zst`` and
``RC_2012-01.zst``, compressed with a window of 2 GiB, which reading needs as memory. A comment's
``parent_id`` is its submission (``t3_...``) or another comment (``t1_...``), ``link_id`` its submission. A
thread is the title, the text, and the comments depth-first, the best first among siblings.

A thread's posts may lie in several files, so the source is one piece; posts wait in a temporary SQLite
file about as large as their text, and memory holds one thread.
"""

from __future__ import annotations

import json
import sqlite3
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from html import unescape
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from towpath.data.document import Document, Domain, Rejected
from towpath.data.sources import Piece
from towpath.data.sources.file_source import FileSource
from towpath.data.sources.json_records import read_json
from towpath.data.sources.limits import MAX_DOCUMENT_BYTES, SHOWN_BYTES
from towpath.data.sources.streams import read_lines
from towpath.data.wellformed import read_utf8

_GONE = frozenset({"[deleted]", "[removed]", "[deleted by user]", "[ Removed by Reddit ]", ""})
_ROW_CHARS = 64  # for what Python adds to each post
_INSERT = "INSERT INTO post VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"


class RedditSource(FileSource):
    """Threads of Reddit."""

    suffixes: ClassVar = ("", ".ndjson", ".jsonl", ".json")

    type: Literal["reddit"] = "reddit"
    path: str
    """A folder or a glob with both kinds of file (submissions and comments), compressed or not."""
    domain: Domain = "chat"
    """Kind of text."""
    category: str = "conversation"
    """What the mixture counts it as."""
    subreddits: tuple[str, ...] | None = None
    """Subreddits that are read, in any case; None takes all."""
    min_score: int | None = None
    """Threads whose submission has a lower score are left out; None keeps all."""
    min_comment_score: int | None = None
    """Comments with a lower score are left out, with the answers to them; None keeps all."""
    max_comments: int | None = Field(default=None, ge=0)
    """At most so many comments a thread, in reading order; None keeps all."""
    bots: tuple[str, ...] = ("AutoModerator",)
    """Authors, in any case, whose posts are left out; answers to them stay."""
    adult: bool = False
    """Whether threads that are marked as adult are kept; else they are rejected as "adult"."""
    max_record_bytes: int = Field(default=MAX_DOCUMENT_BYTES, ge=1)
    """Longer lines are rejected as "record_too_long" without being parsed."""

    def pieces(self) -> Sequence[Piece]:
        """One piece: a thread's posts may be in any file."""
        found = self.found()
        return [Piece("", sum(path.stat().st_size for path in found.paths))]

    def read(self, piece: Piece) -> Iterator[Document | Rejected]:
        """Records that can't be read, then the threads in the order of their first posts; those that
        hold more than 16 MiB come last, as "record_too_long"."""
        found = self.found()
        with tempfile.TemporaryDirectory() as folder, closing(_Posts(Path(folder))) as posts:
            for path in found.paths:
                yield from self._gather(path, found.place(path), posts)
            for thread in posts.threads():
                yield from self._thread(thread)
            for post in posts.starts_of_long_threads():
                raw = f"{post.title}\n\n{post.text}"[:SHOWN_BYTES]
                found_post = self.document(raw, path=post.place, byte_offset=post.offset)
                yield Rejected(found_post, "record_too_long")

    def _gather(self, path: Path, place: str, posts: _Posts) -> Iterator[Rejected]:
        wanted = None if self.subreddits is None else {name.lower() for name in self.subreddits}
        for line in read_lines(path, self.max_record_bytes, long_windows=True):
            if line.problem is None and line.raw.isspace():
                continue
            record, reason = (None, line.problem) if line.problem else read_json(line.raw)
            if reason is None and isinstance(record, Mapping):
                reason = None if posts.add(record, place, line.byte_offset, wanted) else "no_post"
            else:
                reason = reason or "bad_json"
            if reason:
                raw = self.document(read_utf8(line.raw), path=place, byte_offset=line.byte_offset)
                yield Rejected(raw, reason)

    def _thread(self, posts: list[Post]) -> Iterator[Document | Rejected]:
        first = next((post for post in posts if post.is_submission), None)
        if first and self.min_score is not None and first.score < self.min_score:
            return
        bots = {name.lower() for name in self.bots}
        comments = [post for post in self._in_order(posts) if post.author.lower() not in bots]
        comments = [post for post in comments if post.text.strip() not in _GONE][: self.max_comments]
        parts = [first.title, *([] if first.text.strip() in _GONE else [first.text])] if first else []
        text = "\n\n".join(unescape(part).strip() for part in [*parts, *(post.text for post in comments)])
        start = first or posts[0]
        meta = {"subreddit": start.subreddit, "n_comments": len(comments)}
        document = self.document(
            text,
            path=start.place,
            url=f"https://www.reddit.com/comments/{start.link}/",
            byte_offset=start.offset,
            date=_date(start.created),
            meta={**meta, "score": first.score} if first else meta,
        )
        if first and first.is_adult and not self.adult:
            yield Rejected(document, "adult")
        elif (
            not text.strip()
            or (first and first.title.strip() in _GONE)
            or (first and first.author.lower() in bots)
        ):
            yield Rejected(document, "deleted")
        else:
            yield document

    def _in_order(self, posts: list[Post]) -> Iterator[Post]:
        """Comments depth-first, the best first; those whose parent isn't there come as if they had none."""
        ids = {post.id for post in posts if not post.is_submission}
        children: dict[str, list[Post]] = {}
        for post in sorted(posts, key=lambda post: (post.score, -post.created, post.id)):
            if not post.is_submission:
                children.setdefault(post.parent if post.parent in ids else "", []).append(post)
        stack = children.pop("", [])
        while stack:
            post = stack.pop()
            if self.min_comment_score is None or post.score >= self.min_comment_score:
                yield post
                stack += children.pop(post.id, [])


@dataclass(frozen=True, slots=True)
class Post:
    """A submission or comment."""

    link: str
    """Id of its submission."""
    id: str
    parent: str
    """Id of the comment that it answers, empty for a submission and what answers one."""
    score: int
    author: str
    title: str
    """Empty for comments."""
    text: str
    created: int
    """Unix time in seconds."""
    subreddit: str
    is_adult: bool
    place: str
    offset: int

    @property
    def is_submission(self) -> bool:
        """Whether it opens the thread."""
        return self.id == self.link and not self.parent


class _Posts:
    """The posts of all files, in a file."""

    def __init__(self, folder: Path) -> None:
        self.base = sqlite3.connect(folder / "posts.sqlite", isolation_level=None)
        self.base.execute("PRAGMA journal_mode = OFF")
        self.base.execute("PRAGMA synchronous = OFF")
        self.base.execute(
            "CREATE TABLE post "
            "(link TEXT, id, parent, score, author, facts, created, subreddit, place, start)"
        )
        self.base.execute("BEGIN")

    def add(self, record: Mapping[str, Any], place: str, offset: int, wanted: set[str] | None) -> bool:
        """Take ``record``, unless its subreddit isn't ``wanted``; False when it is no post."""
        link, own = _bare(record.get("link_id")), _bare(record.get("name") or record.get("id"))
        text, title = record.get("body", record.get("selftext")), record.get("title", "")
        if (
            not own
            or not isinstance(text, str)
            or not isinstance(title, str)
            or ("body" in record and not link)
        ):
            return False
        subreddit = _valid(record.get("subreddit"))
        if wanted is None or subreddit.lower() in wanted:
            parent = _valid(record.get("parent_id"))
            facts = json.dumps([title, text, record.get("over_18") is True])
            # A comment's id may be that of a submission, so comments' ids carry their kind.
            ids = [link, f"c{own}", f"c{_bare(parent)}" if parent.startswith("t1_") else "t"]
            if "body" not in record:
                ids = [own, own, ""]
            rest = [_whole(record.get("created_utc")), subreddit, _valid(place), offset]
            author = _valid(record.get("author"))
            self.base.execute(_INSERT, [*ids, _whole(record.get("score")), author, facts, *rest])
        return True

    def threads(self) -> Iterator[list[Post]]:
        """The posts of each thread that memory should hold, in the order of their first posts."""
        self.base.execute("COMMIT")
        self.base.execute("CREATE INDEX by_link ON post (link)")
        for link, _ in self._links("<="):
            rows = self.base.execute("SELECT * FROM post WHERE link = ? ORDER BY rowid", [link])
            yield [_post(row) for row in rows]

    def starts_of_long_threads(self) -> Iterator[Post]:
        """The first post of each thread that ``threads`` left out."""
        for _, first in self._links(">"):
            yield _post(self.base.execute("SELECT * FROM post WHERE rowid = ?", [first]).fetchone())

    def _links(self, compared: str) -> Iterator[tuple[str, int]]:
        query = (
            "SELECT link, MIN(rowid) FROM post GROUP BY link "
            f"HAVING SUM(LENGTH(facts) + ?) {compared} ? ORDER BY MIN(rowid)"
        )
        yield from self.base.execute(query, [_ROW_CHARS, MAX_DOCUMENT_BYTES])

    def close(self) -> None:
        self.base.close()


def _post(row: Sequence[Any]) -> Post:
    link, own, parent, score, author, facts, created, subreddit, place, offset = row
    title, text, is_adult = json.loads(facts)
    return Post(link, own, parent, score, author, title, text, created, subreddit, is_adult, place, offset)


def _bare(name: Any) -> str:
    """``t3_abc`` as ``abc``; empty when it is no name."""
    return _valid(name).removeprefix("t3_").removeprefix("t1_") if isinstance(name, str) else ""


def _valid(text: Any) -> str:
    """``text`` as a string that SQLite takes: lone surrogates become question marks."""
    return str(text or "").encode("utf-8", "replace").decode()


def _whole(value: Any) -> int:
    """``value`` as a whole number; dumps hold times as strings too."""
    try:
        return max(min(int(value), 1 << 62), -(1 << 62))
    except (TypeError, ValueError, OverflowError):
        return 0


def _date(created: int) -> str | None:
    try:
        return datetime.fromtimestamp(created, UTC).isoformat() if created > 0 else None
    except (ValueError, OverflowError, OSError):
        return None
