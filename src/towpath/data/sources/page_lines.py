"""Lines of printed pages to paragraphs: for OCR and for PDF, where a line is what fitted on the paper.

Pages go in, one text comes out: running heads, running feet and page numbers are gone, words cut
at a line's end are whole, and lines of one paragraph are joined. No source; the rules are this
project's own and are measured on a book read by Tesseract (tests/data/test_ocr.py).

A head is known by repetition: the same letters at the edge of three pages or more, numbers aside.
A hyphen at a line's end goes when the word without it is in the text elsewhere, stays when the word
with it is, and goes otherwise. Every step is linear in the text.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

_EDGE_LINES = 2
_MIN_REPEATS = 3
_MAX_HEAD_CHARS = 100
_WIDE_CHARS = 200
"""Longer lines are paragraphs already."""
_SHORT_SHARE = 0.6
"""A line shorter than this share of the usual width ends its paragraph, if it ends a sentence."""
_NUMBER_LINE = re.compile(
    r"[\W_]*(?:page\s{0,3})?(?:\d{1,4}|[ivxlc]{1,7})(?:\s{0,3}(?:of|/)\s{0,3}\d{1,4})?[\W_]*", re.IGNORECASE
)
_WORD = re.compile(r"[^\W\d_]+(?:[-'’][^\W\d_]+)*")
_BROKEN_END = re.compile(r"([^\W\d_]+)[-\u00ad\u2010]$")
_FIRST_WORD = re.compile(r"[^\W\d_]+")
_LAST_WORD = re.compile(r"[^\W\d_]+$")
_SENTENCE_ENDS = (".", "!", "?", ":", '"', "”", "’", "'", ")")
_LIST_ITEM = re.compile(r"(?:[-*•–]|\(?\d{1,3}[.)]|\(?[a-z][.)])\s")
_LETTERS_AROUND = 24


@dataclass(frozen=True, slots=True)
class Joined:
    """Paragraphs made of lines."""

    text: str
    """One paragraph a line, blank lines between."""
    n_edits: int
    """Lines removed, words made whole and line breaks taken out."""


def joined_pages(pages: Sequence[str]) -> Joined:
    """The text of ``pages``, in their order."""
    lines = [page.splitlines() for page in pages]
    kept = list(_without_heads(lines))
    n_removed = sum(bool(line.strip()) for page in lines for line in page) - sum(
        bool(line.strip()) for page in kept for line in page
    )
    words = _lexicon(line for page in kept for line in page)
    width = _usual_width(line for page in kept for line in page)
    blocks: list[str] = []
    previous, gap, n_joined = "", True, 0
    for line, after_gap in _with_gaps(kept):
        stripped = line.strip()
        gap = after_gap and not _goes_on_after_gap(previous, stripped)
        if blocks and not gap and _continues(previous, line, width):
            blocks[-1:] = _glued(blocks[-1], stripped, words)
            n_joined += 1
        elif blocks and not gap:
            blocks.append("\n" + stripped)
        else:
            blocks.append("\n\n" + stripped)
        previous = line
    return Joined("".join(blocks).strip(), n_removed + n_joined)


def _with_gaps(pages: Iterable[Sequence[str]]) -> Iterator[tuple[str, bool]]:
    """Lines that are not blank, and whether a blank line stands before each; a page's end is none."""
    for page in pages:
        gap, started = False, False
        for line in page:
            if line.strip():
                yield line.rstrip(), gap and started
                gap, started = False, True
            else:
                gap = True


def _without_heads(pages: Sequence[Sequence[str]]) -> Iterator[list[str]]:
    edges = [_edges(page) for page in pages]
    repeated = Counter(
        key
        for page, numbers in zip(pages, edges, strict=True)
        for key in {_letters(page[n]) for n in numbers}
        if key
    )
    if len(pages) < _MIN_REPEATS:  # no page is marked: a head is what repeats with a number beside it
        numbered = Counter(_letters(line) for page in pages for line in page if _is_numbered(line))
        for page in pages:
            yield [
                line for line in page if not (_is_numbered(line) and numbered[_letters(line)] >= _MIN_REPEATS)
            ]
        return
    for page, numbers in zip(pages, edges, strict=True):
        removed = {
            n
            for n in numbers
            if _is_page_number(page[n])
            or (len(page[n].strip()) <= _MAX_HEAD_CHARS and repeated[_letters(page[n])] >= _MIN_REPEATS)
        }
        yield [line for n, line in enumerate(page) if n not in removed]


def _edges(page: Sequence[str]) -> list[int]:
    filled = [n for n, line in enumerate(page) if line.strip()]
    return sorted({*filled[:_EDGE_LINES], *filled[-_EDGE_LINES:]})


def _letters(line: str) -> str:
    return "".join(filter(str.isalpha, line[: 2 * _MAX_HEAD_CHARS])).casefold()


def _is_page_number(line: str) -> bool:
    line = line.strip()
    return len(line) <= _LETTERS_AROUND and _NUMBER_LINE.fullmatch(line) is not None


def _is_numbered(line: str) -> bool:
    line = line.strip()
    if not 0 < len(line) <= _MAX_HEAD_CHARS:
        return False
    words = line.split()
    return words[0].isdigit() != words[-1].isdigit() and line.upper() == line


def _lexicon(lines: Iterable[str]) -> Counter[str]:
    """How often each word stands whole, that is not at a line's broken end."""
    words: Counter[str] = Counter()
    for line in lines:
        whole = line.rstrip()
        if broken := _BROKEN_END.search(whole[-60:]):
            whole = whole[: len(whole) - len(broken[0])]
        found = _WORD.findall(whole.lower())
        words.update(found)
        words.update(part for word in found if "-" in word for part in word.split("-"))
    return words


def _usual_width(lines: Iterable[str]) -> int:
    lengths = sorted(len(line.strip()) for line in lines if line.strip())
    return lengths[int(len(lengths) * 0.75)] if lengths else 0


def _goes_on_after_gap(previous: str, line: str) -> bool:
    """Whether a blank line stands inside a sentence, where the program saw one that is not there."""
    return previous.endswith((",", ";", "-")) and line[:1].islower() and not _LIST_ITEM.match(line)


def _continues(previous: str, line: str, width: int) -> bool:
    if width > _WIDE_CHARS or not previous or _LIST_ITEM.match(line.lstrip()):
        return False
    indented = len(line) - len(line.lstrip()) >= len(previous) - len(previous.lstrip()) + 2
    if indented and previous.endswith(_SENTENCE_ENDS):
        return False
    length = len(previous.strip())
    if length < _SHORT_SHARE * width:
        return line.strip()[:1].islower()
    return True


def _glued(paragraph: str, line: str, words: Counter[str]) -> Sequence[str]:
    """The last block and ``line`` as one; the pieces are joined by the caller, so nothing is copied twice."""
    end = paragraph[-60:]
    first = _FIRST_WORD.match(line)
    broken = _BROKEN_END.search(end)
    if broken and first and first[0][:1].islower():
        left, right = broken[1].lower(), first[0].lower()
        keeps = words[f"{left}-{right}"] > words[left + right]
        return [paragraph if keeps else paragraph[:-1], line]
    last = _LAST_WORD.search(end)
    if last and first and _is_torn(last[0].lower(), first[0].lower(), words):
        return [paragraph, line]
    return [paragraph, "" if end.endswith(("-", "—")) and first else " ", line]


def _is_torn(left: str, right: str, words: Counter[str]) -> bool:
    """Whether two words are one, torn without a hyphen: neither is known elsewhere, both together are."""
    return words[left] <= 1 and words[right] <= 1 and words[left + right] > 0
