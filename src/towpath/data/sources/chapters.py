"""A book's text as chapters: the frame of Project Gutenberg goes, the rest is cut where chapters start.

One text goes in, pieces of it with their places come out; they are of at most a given size, cut at
blank lines where a chapter is longer. Project Gutenberg's marks are those that its books
carry ("*** START OF THE PROJECT GUTENBERG EBOOK … ***" and the older "*END*THE SMALL PRINT!").
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

_START = re.compile(
    r"^[ \t]{0,3}(?:\*{3} ?START OF (?:THE|THIS) PROJECT GUTENBERG[^\n]{0,300}"
    r"|\*END\* ?THE SMALL PRINT![^\n]{0,200})\n",
    re.IGNORECASE | re.MULTILINE,
)
_END = re.compile(
    r"^[ \t]{0,3}(?:\*{3} ?END OF (?:THE|THIS) PROJECT GUTENBERG"
    r"|End of (?:the )?Project Gutenberg(?:'s|’s)? )",
    re.IGNORECASE | re.MULTILINE,
)
_CREDITS = re.compile(
    r"\s*(?:(?:E-text )?Produced by|Transcribed from)[^\n]*\n(?:[^\n]+\n){0,5}", re.IGNORECASE
)
_HEADER_FIELD = re.compile(r"^(Title|Author|Language|Release Date): {0,4}([^\n]{1,300})$", re.MULTILINE)
_NUMBER = (
    r"(?:[IVXLC]{1,8}|\d{1,3}|(?:the )?(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve"
    r"|first|second|third|fourth|fifth|sixth|seventh|eighth|ninth|tenth|eleventh|twelfth|last|[a-z]{3,5}teen(?:th)?"
    r"|(?:twent|thirt|fort|fift|sixt|sevent|eight|ninet)(?:y|ieth)(?:[- ][a-z]{3,7})?))"
)
_CHAPTER = re.compile(
    rf"^[ \t]{{0,40}}(?:(?:chapter|book|part|volume|letter|canto|act) {_NUMBER}\b[^\n]{{0,80}}"
    r"|(?:preface|introduction|prologue|epilogue|appendix|conclusion)[.:]?[ \t]*)$",
    re.IGNORECASE | re.MULTILINE,
)
_MIN_CHAPTER_CHARS = 400
"""Less text than this after a heading is a line of a table of contents, or a title page."""
_PARAGRAPH_END = re.compile(r"\n[ \t]*\n\s*")


@dataclass(frozen=True, slots=True)
class Chapter:
    """A piece of a book."""

    start: int
    """Where it starts in the text, in characters."""
    text: str
    heading: str
    """Its first line where that is a chapter's heading; else empty."""


def without_frame(text: str) -> tuple[int, int, dict[str, str]]:
    """Where the book starts and ends in ``text``, and what Project Gutenberg's header says of it."""
    start_mark = _START.search(text)
    if start_mark is None:
        return int(text.startswith("\ufeff")), len(text), {}
    meta = {
        name.lower().replace(" ", "_"): value.strip()
        for name, value in _HEADER_FIELD.findall(text[: start_mark.start()])
    }
    start = start_mark.end()
    if credit := _CREDITS.match(text, start):
        start = credit.end()
    end_mark = _END.search(text, start)
    return start, end_mark.start() if end_mark else len(text), meta


def chapters(text: str, max_chars: int, *, by_heading: bool = True) -> Iterator[Chapter]:
    """``text`` in pieces of at most ``max_chars`` characters; only white space is lost between them."""
    headed = dict.fromkeys(_chapter_starts(text) if by_heading else ())
    starts = [*({0} - headed.keys()), *headed]
    for start, end in pairwise([*starts, len(text)]):
        heading = " ".join(text[start:end].partition("\n")[0].split()) if start in headed else ""
        for piece_start, piece_end in _bounded(text, start, end, max_chars):
            piece = text[piece_start:piece_end]
            if stripped := piece.strip():
                lost = len(piece) - len(piece.lstrip())
                yield Chapter(piece_start + lost, stripped, heading if piece_start == start else "")


def _chapter_starts(text: str) -> Iterator[int]:
    found = [match.start() for match in _CHAPTER.finditer(text)]
    pending: int | None = None  # a heading followed by less than a chapter belongs to the next one
    for start, end in pairwise([*found, len(text)]):
        pending = start if pending is None else pending
        if end - start >= _MIN_CHAPTER_CHARS:
            yield pending
            pending = None


def _bounded(text: str, start: int, end: int, max_chars: int) -> Iterator[tuple[int, int]]:
    while end - start > max_chars:
        window_start = start + max_chars // 2
        breaks = [match.end() for match in _PARAGRAPH_END.finditer(text, window_start, start + max_chars)]
        cut = breaks[-1] if breaks else _at_blank(text, window_start, start + max_chars)
        yield start, cut
        start = cut
    yield start, end


def _at_blank(text: str, start: int, end: int) -> int:
    """Behind the last line end or blank between ``start`` and ``end``; ``end`` where there is none."""
    return 1 + max(text.rfind("\n", start, end), text.rfind(" ", start, end)) or end
