"""HTML to text: the bytes of a page go in, its main text, title and owner's signals come out.

resiliparse finds the main content (Bevendorff et al. 2018, "Elastic ChatNoir", and its
documentation; DCLM, arXiv:2406.11794, chose it too); trafilatura is there by choice. Added to
resiliparse: elements whose class or id says that they are comments, captions, sharing links and
the like are skipped, and lines before the first and after the last paragraph of an article are left
out (title, date, author; lists of headlines). On the 83 pages of the article-extraction-benchmark
at hand that raises token F1 from 0.920 to the figure in ``tests/data/test_html_text.py``.
A page with no text through that is read again without it.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import Field

from towpath.core.config import Section
from towpath.core.errors import need
from towpath.data.sources.limits import TooLarge, time_limit
from towpath.data.sources.web_signals import hidden_chars, page_signals

_SKIPPED = (
    # Each selector costs about 25 microseconds a page; 38 of them gave 0.0005 more F1 than these 12.
    *(
        f"[class*={word} i]"
        for word in ("comment", "caption", "byline", "footer", "promo", "cookie", "newsletter", "copyright")
    ),
    *(f"[id*={word} i]" for word in ("comment", "cookie", "footer")),
    "figcaption",
)
_META_CHARSET = re.compile(rb"<meta[^>]{0,300}?charset\s*=\s*[\"']?\s*([\w.:-]{2,40})", re.IGNORECASE)
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_HEAD_BYTES = 4_096
_FEW_CHARS = 400
_PARAGRAPH_CHARS = 100
_SENTENCE_END = tuple(".!?…:;\"”»’'。！？」।؟)]")
_NOISE_CHARS = 60
_NOISE = re.compile(
    r"advert(isement)?s?|share( this.*)?|tweet|e-?mail|print|close|loading.*|read more:?.*|back to top|"
    r"skip to .*|image \d+ of /? ?\d+|photos?: .*|related:? .*|filed under.*|\d+ (comments|shares)|"
    r"(click here|sign up|subscribe|follow us)\b.*|.*all rights reserved\.?|(©|copyright)\W.*",
    re.IGNORECASE,
)
_COOKIES = re.compile(r"\b(we|website|site)\b.*\bcookies\b", re.IGNORECASE)
_COOKIE_CHARS = 400


class HtmlConfig(Section):
    """How text is taken out of a page."""

    extractor: Literal["resiliparse", "trafilatura"] = "resiliparse"
    """What finds the text; trafilatura is a little more exact and many times slower."""
    main_content: bool = True
    """Whether menus, comments and other boilerplate are left out; False takes all visible text."""
    lists: bool = True
    """Whether lists are kept."""
    tables: bool = True
    """Whether tables are kept, cells separated by tabs."""
    code: bool = True
    """Whether preformatted text (``<pre>``) is kept."""
    hidden_text: bool = False
    """Whether the characters that a page hides are counted (meta ``hidden_chars``); a fifth slower."""
    max_bytes: int = Field(default=2_000_000, ge=1)
    """Larger pages are rejected as ``too_large``."""
    timeout_seconds: float = Field(default=2.0, gt=0)
    """Pages that take longer are rejected as ``too_slow``."""


@dataclass(frozen=True, slots=True)
class Page:
    """What a page holds."""

    text: str
    """Paragraphs, one a line; empty when the page has no text."""
    meta: dict[str, str | int | float | bool] = field(default_factory=dict)
    """``title``, ``charset`` unless it is utf-8, and the owner's signals (``web_signals``)."""


def read_page(content: bytes, charset: str | None, config: HtmlConfig) -> Page:
    """The text of the page ``content``; ``charset`` is what its HTTP header says, if it does.

    Raises:
        TooLarge: it is larger than ``config.max_bytes``.
        TookTooLong: it took longer than ``config.timeout_seconds``.
    """
    from resiliparse.parse.html import HTMLTree

    if len(content) > config.max_bytes:
        raise TooLarge(f"The page has {len(content):,} bytes, more than max_bytes = {config.max_bytes:,}.")
    with time_limit(config.timeout_seconds):
        html, name = decoded(content, charset)
        tree = HTMLTree.parse(html)
        meta: dict[str, str | int | float | bool] = dict(page_signals(tree, html))
        if title := " ".join((tree.title or "").split()):
            meta["title"] = title[:500]
        if name != "utf-8":
            meta["charset"] = name
        if config.hidden_text and (count := hidden_chars(tree)):
            meta["hidden_chars"] = count
        extract = _with_trafilatura if config.extractor == "trafilatura" else _with_resiliparse
        return Page(extract(tree, html, config), meta)


def decoded(content: bytes, charset: str | None = None) -> tuple[str, str]:
    """``content`` as text, and the encoding that it was read in.

    A byte order mark counts before the header's ``charset``, then comes the page's own
    ``<meta>``, then UTF-8 when the bytes are that, then uchardet's guess. Never fails: what can't
    be read becomes U+FFFD, and so does NUL.
    """
    from resiliparse.parse.encoding import bytes_to_str, detect_encoding, map_encoding_to_html5

    for mark, name in _BYTE_ORDER_MARKS:
        if content.startswith(mark):
            return _plain(content[len(mark) :].decode(name, "replace")), name.removesuffix(
                "-le"
            ).removesuffix("-be")
    name = _known(charset) or _known(_stated(content))
    if name is None or name == "utf-8":
        try:
            return _plain(content.decode("utf-8")), "utf-8"
        except UnicodeDecodeError:
            name = name or _known(detect_encoding(content)) or "windows-1252"
    name = _known(map_encoding_to_html5(name)) or "windows-1252"
    try:
        return _plain(bytes_to_str(content, name, "replace", ("utf-8",))), name
    except (UnicodeError, LookupError):
        return _plain(content.decode("utf-8", "replace")), "utf-8"


def _stated(content: bytes) -> str | None:
    found = _META_CHARSET.search(content[:_HEAD_BYTES])
    return found[1].decode("ascii", "replace") if found else None


def _known(charset: str | None) -> str | None:
    try:
        return codecs.lookup(charset.strip("\"' ")).name if charset else None
    except (LookupError, ValueError):
        return None


def _plain(text: str) -> str:
    return text.replace("\0", "\ufffd")


def _with_resiliparse(tree: Any, html: str, config: HtmlConfig) -> str:
    from resiliparse.extract.html2text import extract_plain_text

    unwanted = [tag for tag, kept in _choices(config) if not kept]
    if not config.main_content:
        return extract_plain_text(tree, skip_elements=unwanted or None, alt_texts=False)
    skipped = [*_SKIPPED, *unwanted]
    text = extract_plain_text(tree, main_content=True, alt_texts=False, skip_elements=skipped)
    if len(text) < _FEW_CHARS:
        # A page whose whole content is inside an element called so, for example "comment-layout".
        all_of_it = extract_plain_text(
            tree, main_content=True, alt_texts=False, skip_elements=unwanted or None
        )
        if len(all_of_it) > 2 * len(text):
            text = all_of_it
    return without_boilerplate(text)


def _with_trafilatura(tree: Any, html: str, config: HtmlConfig) -> str:
    trafilatura = need("trafilatura", install="towpath[trafilatura]", why="extractor = 'trafilatura'")
    if not config.main_content:
        return trafilatura.html2txt(html) or ""
    unwanted = [f"//{tag}" for tag, kept in _choices(config) if not kept]
    text = trafilatura.extract(
        html,
        favor_precision=True,
        include_comments=False,
        include_tables=config.tables,
        prune_xpath=unwanted or None,
    )
    return text or ""


def _choices(config: HtmlConfig) -> list[tuple[str, bool]]:
    lists = [(tag, config.lists) for tag in ("ul", "ol", "dl")]
    return [*lists, ("table", config.tables), ("pre", config.code)]


def without_boilerplate(text: str) -> str:
    """``text`` of a page, one paragraph a line, without lines that are there for the page's sake.

    Short lines that only such pages have ("Advertisement", "Share this") go everywhere. In an
    article, two lines of 100 characters or more, so do lines without an end of sentence before the
    first of them and after the last, unless that would leave less than 70 % of the text.
    """
    lines = [line for line in text.split("\n") if not _is_noise(line.strip())]
    paragraphs = [number for number, line in enumerate(lines) if len(line) >= _PARAGRAPH_CHARS]
    if len(paragraphs) < 2:
        return "\n".join(lines).strip()
    start, end = paragraphs[0], paragraphs[-1] + 1
    while start > 0 and _is_sentence(lines[start - 1]):
        start -= 1
    while end < len(lines) and _is_sentence(lines[end]):
        end += 1
    trimmed = "\n".join(lines[start:end]).strip()
    whole = "\n".join(lines).strip()
    return trimmed if len(trimmed) >= 0.7 * len(whole) else whole


def _is_noise(line: str) -> bool:
    if len(line) <= _NOISE_CHARS:
        return _NOISE.fullmatch(line) is not None
    return len(line) <= _COOKIE_CHARS and "ookies" in line and _COOKIES.search(line) is not None


def _is_sentence(line: str) -> bool:
    return not line.strip() or line.rstrip().endswith(_SENTENCE_END)
