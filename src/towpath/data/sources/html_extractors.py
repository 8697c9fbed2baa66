"""Extractors of a page's text that are chosen in the run file, and what a page hides.

In comes a page in UTF-8, out comes its text by resiliparse (https://resiliparse.chatnoir.eu) or trafilatura
(https://trafilatura.readthedocs.io). Before resiliparse the page is trimmed, so that less of it is
parsed, and elements that are called like boilerplate are hidden (``kernels.html_trim``).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from towpath.core.errors import need
from towpath.data.kernels.html_trim import html_trim
from towpath.data.sources.limits import TooLarge
from towpath.data.sources.web_signals import hidden_chars

FEW_CHARS = 400
"""A page with less text, of which something was left out for what it is called, is read again."""
_TAG = re.compile(rb"<(/?)([a-zA-Z][a-zA-Z0-9]*)")
_NOT_NESTED = frozenset(
    # what has no content, and what ends when the next one starts
    b"area base br col embed hr img input link meta param source track wbr "
    b"a p li dt dd option optgroup tr td th thead tbody tfoot colgroup".split()
)
_BODY = re.compile(rb"<body\b[^>]{0,2000}>", re.IGNORECASE)
_HEAD_END = re.compile(rb"</head\s*>", re.IGNORECASE)
_FEW_TAGS = 3_000
_MAX_DEPTHS = 10_000_000  # about 0.9 seconds


def with_resiliparse(content: bytes, main_content: bool, unwanted: Sequence[str]) -> str:
    """The text of ``content`` without the elements ``unwanted``.

    Raises:
        TooLarge: it is nested so deep that resiliparse, whose time grows with depth times elements and
            which can't be interrupted, would take seconds.
    """
    text, hides = _extracted(content, main_content, unwanted, hide=main_content)
    if hides and len(text) < FEW_CHARS:
        whole, _ = _extracted(content, main_content, unwanted, hide=False)
        return whole if len(whole) > 2 * len(text) else text
    return text


def _extracted(content: bytes, main_content: bool, unwanted: Sequence[str], hide: bool) -> tuple[str, bool]:
    from resiliparse.extract.html2text import extract_plain_text
    from resiliparse.parse.html import HTMLTree

    trimmed = html_trim(content, main_content, main_content, hide)
    _refuse_deep_nesting(trimmed)
    tree = HTMLTree.parse((_deepened(trimmed) if main_content else trimmed).decode("utf-8", "replace"))
    text = extract_plain_text(
        tree, main_content=main_content, alt_texts=False, skip_elements=unwanted or None
    )
    return text, hide and b" hidden>" in trimmed


def with_trafilatura(content: bytes, main_content: bool, unwanted: Sequence[str]) -> str:
    """The text of ``content`` without the elements ``unwanted``.

    Raises:
        MissingPackageError: trafilatura isn't installed.
    """
    trafilatura = need("trafilatura", install="towpath[trafilatura]", why="extractor = 'trafilatura'")
    html = html_trim(content, main_content, slim=False, hide=False).decode("utf-8", "replace")
    if not main_content:
        return trafilatura.html2txt(html) or ""
    text = trafilatura.extract(
        html,
        favor_precision=True,
        include_comments=False,
        include_tables="table" not in unwanted,
        prune_xpath=[f"//{tag}" for tag in unwanted] or None,
    )
    return text or ""


def count_hidden(content: bytes, main_content: bool) -> int:
    """How many characters of ``content`` its own markup hides (``web_signals.hidden_chars``)."""
    from resiliparse.parse.html import HTMLTree

    html = html_trim(content, main_content, slim=False, hide=False).decode("utf-8", "replace")
    return hidden_chars(HTMLTree.parse(html))


def _deepened(content: bytes) -> bytes:
    # resiliparse takes a list near the top of the tree for a menu. Three more elements around
    # everything cost nothing on the benchmark's pages and keep the lists of hand-written ones.
    body = _BODY.search(content) or _HEAD_END.search(content)
    return content if body is None else content[: body.end()] + b"<div><div><div>" + content[body.end() :]


def _refuse_deep_nesting(content: bytes) -> None:
    if content.count(b"<") < _FEW_TAGS:
        return
    depth = depths = 0
    for closing, tag in _TAG.findall(content):
        if tag.lower() not in _NOT_NESTED:
            depth = max(0, depth - 1) if closing else depth + 1
        depths += depth
    if depths > _MAX_DEPTHS:
        raise TooLarge(f"The page's elements are nested too deep: the sum of their depths is {depths:,}.")
