"""A page without what the extraction of its text never looks at, so that less of it is parsed.

The bytes of a page in an encoding that keeps ASCII go in, and come out without comments and without
elements that hold no text of the page (two thirds of a page of today), a space in the place of each.
``slim`` also drops void elements without text, attributes that nobody reads, metas that name no
charset and no owner's signal, empty elements, and all but one of spaces in a row, but leaves ``<pre>``
and titles as they are. ``hide`` puts ``hidden`` in the place of the attributes of elements that by
their class or id are comments, captions and the like.
Tags are read as https://html.spec.whatwg.org/multipage/parsing.html
says; an element ends at the first closing tag of its name. The time is linear in the page's size.
"""

from __future__ import annotations

import ctypes
import re

import numpy as np

from towpath.core.native import library, pointer

NEVER_READ = (b"script", b"style", b"svg", b"noscript", b"iframe", b"template")
"""Elements without text of the page."""
NO_CONTENT = (b"nav", b"select", b"footer", b"object", b"canvas", b"video", b"audio")
"""Elements outside the main content."""
_VERBATIM = (b"pre", b"title", b"textarea", b"xmp")
_VOID = (b"img", b"link", b"source", b"input", b"embed", b"track", b"area", b"wbr")
_EMPTIED = (b"div", b"span", b"a", b"p", b"li", b"i")
_KEPT = frozenset(
    b"class id role hidden style name content itemprop rel charset http-equiv aria-hidden aria-expanded "
    b"data-ad data-advertisement data-text-ad".split()
)
_HIDDEN = {
    b"class": re.compile(rb"(?i)comment|cookie|footer|caption|byline|promo|newsletter|copyright"),
    b"id": re.compile(rb"(?i)comment|cookie|footer"),
}
_TELLING_META = re.compile(rb"(?i)charset|robots|tdm-")
_SPACE = rb" \t\n\f\r"
_SPACE_BYTES = b" \t\n\f\r"
_SPACES = re.compile(rb"[" + _SPACE + rb"]{2,}")
_TAG = re.compile(rb"<(/?)([A-Za-z][^" + _SPACE + rb"/>]*)(?=[" + _SPACE + rb"/>])")
_ATTRIBUTE = re.compile(
    rb"([S/]*)(?:>|([^S/>][^S/>=]*)((?:[S]*=[S]*(?:\"[^\"]*(?:\"|\Z)|'[^']*(?:'|\Z)|(?![\"'])[^S>]*))?))".replace(
        b"S", _SPACE
    )
)
_CLOSING = {
    name: re.compile(rb"(?i)</" + name + rb"[" + _SPACE + rb"]*>")
    for name in (*NEVER_READ, *NO_CONTENT, *_VERBATIM)
}


def html_trim(page: bytes, main_content: bool, slim: bool, hide: bool) -> bytes:
    """``page`` trimmed; ``main_content`` cuts ``NO_CONTENT`` too, ``hide`` counts only with ``slim``."""
    compiled = library("towpath.data.kernels", "html_trim")
    if compiled is None:
        return reference_html_trim(page, main_content, slim, hide)
    trimmed = np.empty(2 * len(page) + 1, np.uint8)
    compiled.html_trim.restype = ctypes.c_int64
    size = compiled.html_trim(
        page, ctypes.c_int64(len(page)), int(main_content), int(slim), int(hide), pointer(trimmed)
    )
    return trimmed[:size].tobytes()


def reference_html_trim(page: bytes, main_content: bool, slim: bool, hide: bool) -> bytes:
    """The same by regular expressions."""
    return _Trimmer(page, main_content, slim, hide).run()


class _Trimmer:
    def __init__(self, page: bytes, main_content: bool, slim: bool, hide: bool) -> None:
        self.page, self.slim, self.hide = page, slim, hide
        self.cut = (*NEVER_READ, *NO_CONTENT) if main_content else NEVER_READ
        self.unclosed: set[bytes] = set()
        self.cut_short = False
        self.kept: list[bytes] = []
        self.opened: tuple[int, bytes] | None = None
        """The last tag's place in ``kept`` and name, when it opens one of ``_EMPTIED``."""

    def run(self) -> bytes:
        kept = self.kept
        position = 0
        while (start := self.page.find(b"<", position)) >= 0:
            kept.append(self._text(position, start))
            piece, position = self._comment(start) or self._markup(start) or (b"<", start + 1)
            kept.append(piece)
        kept.append(self._text(position, len(self.page)))
        return b"".join(kept)

    def _text(self, start: int, end: int) -> bytes:
        text = self.page[start:end]
        return _SPACES.sub(b" ", text) if self.slim else text

    def _comment(self, start: int) -> tuple[bytes, int] | None:
        if not self.page.startswith(b"<!--", start) or b"!--" in self.unclosed:
            return None
        end = self.page.find(b"-->", start + 4)
        if end < 0:
            self.unclosed.add(b"!--")
            return None
        return b" ", end + 3

    def _markup(self, start: int) -> tuple[bytes, int] | None:
        """What stays of the tag or element at ``start``, and where it ends; None if it isn't one."""
        tag = _TAG.match(self.page, start)
        if tag is None:
            return None
        name = tag[2].lower()
        goes = name in self.cut
        if not tag[1] and (goes or (self.slim and name in _VERBATIM)) and name not in self.unclosed:
            if closing := _CLOSING[name].search(self.page, tag.end()):
                return b" " if goes else self.page[start : closing.end()], closing.end()
            self.unclosed.add(name)
        return self._tag(tag, name) if self.slim and not self.cut_short else None

    def _tag(self, tag: re.Match[bytes], name: bytes) -> tuple[bytes, int] | None:
        position, attributes, is_closing = tag.end(), b"", bool(tag[1])
        dropped, hidden = False, self.hide and not is_closing and name == b"figcaption"
        while True:
            found = _ATTRIBUTE.match(self.page, position)
            if found is None:
                self.cut_short = True  # it never ends
                return None
            position = found.end()
            if found[2] is None:
                break
            word, value = found[2].lower(), found[3]
            if not is_closing and word in _KEPT:
                attributes += (b" " if dropped or found[1] else b"") + found[2] + value
                dropped = False
                hidden |= self.hide and word in _HIDDEN and _HIDDEN[word].search(value) is not None
            else:
                dropped = True
        if name in _VOID or (name == b"meta" and not _TELLING_META.search(self.page[tag.end() : position])):
            return b"", position
        slash = b"" if hidden or not found[1].endswith(b"/") else b"/"
        piece = tag[0] + (b" hidden" if hidden else attributes) + slash + b">"
        return self._unless_empty(piece, name, is_closing), position

    def _unless_empty(self, piece: bytes, name: bytes, is_closing: bool) -> bytes:
        opened = self.opened
        self.opened = None if is_closing or name not in _EMPTIED else (len(self.kept), name)
        if is_closing and opened is not None and opened[1] == name:
            between = b"".join(self.kept[opened[0] + 1 :])
            if not between.strip(_SPACE_BYTES):
                del self.kept[opened[0] :]
                return b" " if between else b""
        return piece
