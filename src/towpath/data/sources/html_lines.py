"""Lines of a page's text that are there for the page's sake, and the text without them.

In comes the text that an extractor found, one paragraph a line, out comes less of it: short lines that only
web pages have go everywhere, and in an article what stands around its first and last paragraph.
"""

from __future__ import annotations

import re

_PARAGRAPH_CHARS = 100
_SENTENCE_END = tuple(".!?…:;\"”»’'。！？」।؟)]")
_NOISE_CHARS = 60
_NOISE = re.compile(
    r"advert(isement)?s?|share( (this|on)\b.*)?|tweet|e-?mail|print|close|loading.*|back to top|skip to .*|"
    r"image \d+ of /? ?\d+|photos?: .*|filed under.*|\d+ (comments|shares)|"
    r"(click here|sign up|subscribe|follow us)\b.*|.*all rights reserved\.?|(©|copyright)\W.*",
    re.IGNORECASE,
)
_LINK_CHARS = 120
_LINK = re.compile(r"\[?(read|see) more\b|\[?related ?:|don.t miss|(also )?read: ", re.IGNORECASE)
_OTHER_STORIES = re.compile(
    r"(top|more|latest|our latest|related|recommended|most read|most popular|popular|trending|partner|other) "
    r"(stories|news|articles|posts|reading|videos|topics|content)\b.*|"
    r"you (may|might) also (like|be interested).*|read next.*|up next|explore further|about the authors?|"
    r"(top rated |\d+ )?comments( \(\d+\))?|leave a (reply|comment).*|recommended for you",
    re.IGNORECASE,
)
_BYLINE_CHARS = 100
_BYLINE = re.compile(r"^\W*(by|posted|published|updated|written by)\b|\b(19|20)\d\d\b", re.IGNORECASE)
_HEAD_LINES = 12
_BYLINE_LINES = 8
_MIN_LEFT = 0.6
_COOKIES = re.compile(r"\b(we|website|site)\b.*\bcookies\b", re.IGNORECASE)
_COOKIE_CHARS = 400


def without_boilerplate(text: str, title: str = "") -> str:
    """``text`` of a page, one paragraph a line, without lines that are there for the page's sake.

    Short lines that only such pages have ("Advertisement", "Share this") go everywhere. In an
    article, two lines of 100 characters or more, so does what comes before and with its ``title``, its
    date and author, a list of other stories and what follows it, and lines without an end of sentence
    around the first and the last paragraph; unless that would leave less than 60 % of the text.
    """
    lines = [line for line in text.split("\n") if not _is_noise(line.strip())]
    whole = "\n".join(lines).strip()
    if sum(len(line) >= _PARAGRAPH_CHARS for line in lines) < 2:
        return whole
    trimmed = "\n".join(_trimmed(_after_headline(lines, title))).strip()
    return trimmed if len(trimmed) >= _MIN_LEFT * len(whole) else whole


def _after_headline(lines: list[str], title: str) -> list[str]:
    """What comes after the line that is part of ``title``, and after date or author soon below it."""
    start = 0
    for number, line in enumerate(lines[:_HEAD_LINES]):
        words = line.strip()
        if len(words) >= 15 and (words in title or (len(title) >= 15 and title in words)):
            start = number + 1
    for number, line in enumerate(lines[start : start + _BYLINE_LINES], start):
        words = line.strip()
        if len(words) < _BYLINE_CHARS and not words.endswith(_SENTENCE_END) and _BYLINE.search(words):
            start = number + 1
    return lines[start:]


def _trimmed(lines: list[str]) -> list[str]:
    paragraphs = [number for number, line in enumerate(lines) if len(line) >= _PARAGRAPH_CHARS]
    if len(paragraphs) < 2:
        return lines
    for number in range(paragraphs[len(paragraphs) // 2], len(lines)):
        if len(lines[number]) <= _NOISE_CHARS and _OTHER_STORIES.fullmatch(lines[number].strip()):
            lines = lines[:number]
            break
    paragraphs = [number for number in paragraphs if number < len(lines)]
    start, end = paragraphs[0], paragraphs[-1] + 1
    while start > 0 and _is_sentence(lines[start - 1]):
        start -= 1
    while end < len(lines) and _is_sentence(lines[end]):
        end += 1
    return lines[start:end]


def _is_noise(line: str) -> bool:
    if not line:
        return False
    if len(line) <= _NOISE_CHARS and _NOISE.fullmatch(line):
        return True
    if len(line) <= _LINK_CHARS and _LINK.match(line):
        return True
    return len(line) <= _COOKIE_CHARS and "ookies" in line and _COOKIES.search(line) is not None


def _is_sentence(line: str) -> bool:
    return not line.strip() or line.rstrip().endswith(_SENTENCE_END)
