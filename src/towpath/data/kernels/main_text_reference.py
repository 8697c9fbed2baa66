"""The main text of a page, in Python: what ``main_text.cpp`` does, and the oracle of its tests.

The page is read once, as https://html.spec.whatwg.org/multipage/parsing.html says: tags with their
attributes, elements that end when others start. Of the tree there is only the stack of open elements
and a list of events in the page's order: a text, a block that opens or closes, a line break. Each block
knows how much text and how much of links it holds. Then the events are written as lines; what
is no main content is jumped over.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from towpath.data.kernels import html_words as w

MAIN, HIDE, NO_LISTS, NO_TABLES, NO_CODE = (1 << bit for bit in range(5))
MAX_METAS = 64
ROBOTS, RESERVATION, CHARSET, HTTP_FIELD = 1, 2, 3, 4
_SEARCHED = 256
_MAX_INDENTS = 8
_S = rb" \t\n\f\r"
_SPACES = re.compile(rb"[" + _S + rb"]+")
_SPACE_BYTES = b" \t\n\f\r"
_NAME_END = re.compile(rb"[" + _S + rb"/>]")
_ATTRIBUTE = re.compile(
    rb"[S/]*(?:>|([^S/>][^S/>=]*)(?:[S]*=[S]*(?:\"([^\"]*)(?:\"|\Z)|'([^']*)(?:'|\Z)|(?![\"'])([^S>]*)))?)".replace(
        b"S", _S
    )
)
_PART = re.compile(rb"([-_]*)([^-_]+)")
_REFERENCE = re.compile(rb"&[#0-9A-Za-z]{1,10};")
_OPEN, _CLOSE, _BREAK = -1, -2, -3


@dataclass
class Found:
    """What a page holds, as bytes of the page."""

    text: bytes
    """Lines; character references are not resolved."""
    title: bytes
    metas: list[tuple[int, bytes]]
    """``ROBOTS`` and ``RESERVATION`` with their content, ``CHARSET`` with its name,
    ``HTTP_FIELD`` with the content of a meta that stands for one."""
    hides: bool
    """Whether something is left out for what it is called alone."""


@dataclass
class _Element:
    name: bytes
    flags: int
    node: int


@dataclass
class _Node:
    flags: int
    said: int
    depth: int
    opened: int
    closed: int = 0
    text: int = 0
    links: int = 0


class Reading:
    """One page, read once."""

    def __init__(self, page: bytes, switches: int) -> None:
        self.page, self.main, self.hide = page, bool(switches & MAIN), bool(switches & HIDE)
        self.unwanted = (
            (w.LIST if switches & NO_LISTS else 0)
            | (w.TABLE if switches & NO_TABLES else 0)
            | (w.PRE if switches & NO_CODE else 0)
        )
        self.words = w.words()
        self.stack: list[_Element] = []
        self.nodes: list[_Node] = []
        self.events: list[tuple[int, int]] = []
        self.n_text = self.n_links = self.n_paragraphs = 0
        self.in_link = self.hides = False
        self.unclosed: set[bytes] = set()
        self.title: bytes | None = None
        self.metas: list[tuple[int, bytes]] = []

    def found(self) -> Found:
        """What the page holds."""
        self._read()
        self._close_to(0)
        return Found(_Writer(self).text(), self.title or b"", self.metas, self.hides)

    def _read(self) -> None:
        page, position, at = self.page, 0, 0
        while (start := page.find(b"<", at)) >= 0:
            if not page[start + 1 : start + 2].isalpha() and page[start + 1 : start + 2] not in (
                b"/",
                b"!",
                b"?",
            ):
                at = start + 1
                continue
            self._text(position, start)
            position = at = self._markup(start)
        self._text(position, len(page))

    def _after(self, mark: bytes, position: int) -> int:
        found = self.page.find(mark, position)
        return len(self.page) if found < 0 else found + len(mark)

    def _name_end(self, position: int) -> int:
        found = _NAME_END.search(self.page, position)
        return len(self.page) if found is None else found.start()

    def _markup(self, start: int) -> int:
        """Where the markup at ``start`` ends."""
        if self.page.startswith(b"<!--", start):
            return self._after(b"-->", start + 2)
        is_closing = self.page[start + 1] == ord("/")
        name_start = start + 2 if is_closing else start + 1
        if not self.page[name_start : name_start + 1].isalpha():
            return self._after(b">", name_start)
        name_end = self._name_end(name_start)
        name = self.page[name_start:name_end].lower()
        flags = self.words.get(b"<" + name, 0)
        if not is_closing and flags & (w.RAW | w.SKIPPED | w.SKIPPED_MAIN | w.TITLE):
            position = self._passed_over(name, flags, name_end)
            if position >= 0:
                return position
        return self._tag(name, flags, name_end, is_closing)

    def _passed_over(self, name: bytes, flags: int, name_end: int) -> int:
        """Where an element that isn't looked into ends; -1 if it must be."""
        if (flags & w.SKIPPED_MAIN and not self.main) or name in self.unclosed:
            return -1
        closing = re.compile(rb"(?i)</" + name + rb"(?=[" + _S + rb"/>])").search(self.page, name_end)
        if closing is None:
            self.unclosed.add(name)
            return len(self.page) if flags & w.RAW else -1
        if flags & w.TITLE and self.title is None:
            start = self._after(b">", name_end)
            self.title = self.page[start : closing.start()]
        return self._after(b">", closing.end())

    def _tag(self, name: bytes, flags: int, position: int, is_closing: bool) -> int:
        said, meta = 0, {}
        reads = not is_closing and not flags & w.FRAME and (self.main or flags & w.META)
        while True:
            found = _ATTRIBUTE.match(self.page, position)
            if found is None:
                return len(self.page)
            position = found.end()
            if found[1] is None:
                break
            if reads:
                value = found[2] or found[3] or found[4] or b""
                if flags & w.META:
                    meta.setdefault(self.words.get(b"@" + found[1].lower(), 0), value)
                else:
                    said |= self._said(found[1].lower(), value.lower())
        if is_closing:
            self._close(name, flags)
        elif flags & w.META:
            self._meta(meta)
        else:
            self._open(name, flags, said)
        return position

    def _meta(self, meta: dict[int, bytes]) -> None:
        content = meta.get(w.META_CONTENT, b"")
        if w.META_CHARSET in meta:
            self._found_meta(CHARSET, meta[w.META_CHARSET])
        if w.META_EQUIVALENT in meta:
            self._found_meta(HTTP_FIELD, content)
        match meta.get(w.META_NAME, b"").lower():
            case b"robots":
                self._found_meta(ROBOTS, content)
            case b"tdm-reservation":
                self._found_meta(RESERVATION, content)

    def _found_meta(self, kind: int, value: bytes) -> None:
        if len(self.metas) < MAX_METAS:
            self.metas.append((kind, value))

    # What attributes say.

    def _said(self, name: bytes, value: bytes) -> int:
        kind = self.words.get(b"@" + name, 0)
        if kind == w.PRESENT:
            return w.EXCLUDED
        if kind == w.VALUED:
            return self.words.get(name + b"=" + value.strip(_SPACE_BYTES), 0)
        if kind == w.STYLE:
            style = _SPACES.sub(b"", value)
            return w.EXCLUDED if b"display:none" in style or b"visibility:hidden" in style else 0
        if kind not in (w.CLASS, w.ID) or not value:
            return 0
        said = w.NAMED
        called = w.CALLED if kind == w.CLASS else w.CALLED[: w.N_CALLED_IN_ID]
        if self.hide and any(word in value for word in called):
            said |= w.CALLED_SO
        for word in _SPACES.split(value):
            said |= self._class_said(word, kind)
        return said

    def _class_said(self, word: bytes, kind: int) -> int:
        parts = _PART.findall(word)
        said, elsewhere = 0, w.IN_ID if kind == w.CLASS else w.IN_CLASS
        for first in range(len(parts)):
            at_start = (
                first == 0
                or len(parts[first][0]) > 1
                or (first == 1 and self.words.get(b"." + parts[0][1], 0) & w.PREFIX)
            )
            joined = b"."
            for last in range(first, min(first + 3, len(parts))):
                joined += parts[last][1]
                rule = self.words.get(joined, 0)
                if rule & elsewhere or (rule & w.AT_START and not at_start):
                    continue
                if not rule & w.AT_END or last == len(parts) - 1:
                    said |= rule & w.SAID
        return said

    # Elements that open and close.

    def _text(self, start: int, end: int) -> None:
        if start == end:
            return
        length = len(_REFERENCE.sub(b"&", _SPACES.sub(b" ", self.page[start:end])))
        self.n_text += length
        self.n_links += length if self.in_link else 0
        self.events.append((start, end))

    def _open(self, name: bytes, flags: int, said: int) -> None:
        if flags & w.FRAME:
            return
        self._close_implied(flags)
        if flags & w.VOID:
            if flags & (w.BREAK | w.BLOCK):
                self.events.append((_BREAK, 1 if flags & w.BREAK else 0))
            return
        node = -1
        if flags & (w.BLOCK | w.CELL | w.NEVER | w.NOT_MAIN) or said & ~w.NAMED:
            node = len(self.nodes)
            self.nodes.append(
                _Node(flags, said, len(self.stack) + 1, len(self.events), 0, self.n_text, self.n_links)
            )
            self.events.append((_OPEN, node))
        self.stack.append(_Element(name, flags, node))
        self.n_paragraphs += bool(flags & w.PARAGRAPH)
        self.in_link |= bool(flags & w.LINK)

    def _close_implied(self, flags: int) -> None:
        if flags & w.CLOSES_P and self.n_paragraphs:
            self._close_nearest(w.PARAGRAPH, w.SCOPE)
        if flags & w.HEADING and self.stack and self.stack[-1].flags & w.HEADING:
            self._close_to(len(self.stack) - 1)
        if flags & (w.ITEM | w.TERM):
            self._close_nearest(flags & (w.ITEM | w.TERM), w.LIST | w.SCOPE)
        if flags & w.LINK and self.in_link:
            self.in_link = False
            self._close_nearest(w.LINK, w.BLOCK | w.SCOPE)
        if flags & (w.CELL | w.ROW | w.ROWS):
            wider = w.ROWS if flags & w.ROWS else 0
            wider |= w.ROW if flags & (w.ROWS | w.ROW) else 0
            for mask in (w.ROWS & wider, w.ROW & wider, w.CELL):
                if mask and self._close_nearest(mask, w.TABLE):
                    break

    def _close_nearest(self, wanted: int, stop: int) -> bool:
        for index in range(len(self.stack) - 1, max(-1, len(self.stack) - 1 - _SEARCHED), -1):
            flags = self.stack[index].flags
            if flags & wanted:
                self._close_to(index)
                return True
            if flags & stop:
                return False
        return False

    def _close(self, name: bytes, flags: int) -> None:
        if flags & (w.FRAME | w.VOID):
            if flags & w.BREAK:
                self.events.append((_BREAK, 1))
            return
        if flags & w.LINK:
            self.in_link = False
        if flags & w.PARAGRAPH:
            if not self._close_nearest(w.PARAGRAPH, w.SCOPE):
                self.events.append((_BREAK, 0))
        elif flags & w.HEADING:
            self._close_nearest(w.HEADING, w.SCOPE)
        else:
            self._close_same(name, flags)

    def _close_same(self, name: bytes, flags: int) -> None:
        if flags & (w.TABLE | w.ROWS | w.ROW | w.CELL):
            stop = w.TABLE
        elif flags & w.BLOCK:
            stop = w.SCOPE | (w.LIST if flags & w.ITEM else 0)
        else:
            stop = w.BLOCK | w.SCOPE
        for index in range(len(self.stack) - 1, max(-1, len(self.stack) - 1 - _SEARCHED), -1):
            element = self.stack[index]
            if element.name == name:
                return self._close_to(index)
            if element.flags & stop:
                return None
        return None

    def _close_to(self, size: int) -> None:
        while len(self.stack) > size:
            element = self.stack.pop()
            self.n_paragraphs -= bool(element.flags & w.PARAGRAPH)
            if element.flags & w.LINK:
                self.in_link = False
            if element.node >= 0:
                node = self.nodes[element.node]
                node.closed = len(self.events)
                node.text, node.links = self.n_text - node.text, self.n_links - node.links
                self.events.append((_CLOSE, element.node))


class _Writer:
    """Events as lines."""

    def __init__(self, reading: Reading) -> None:
        self.reading = reading
        self.out = bytearray()
        self.margin = self.n_pre = 0
        self.at_start, self.in_cell, self.after_pre = True, False, False
        self.lists: list[int] = []
        self.prefix = b""

    def text(self) -> bytes:
        reading = self.reading
        roots = [node for node in reading.nodes if node.said & w.ROOT] if reading.main else []
        at, end = (roots[0].opened + 1, roots[0].closed) if len(roots) == 1 else (0, len(reading.events))
        while at < end:
            kind, value = reading.events[at]
            at += 1
            if kind >= 0:
                self._text(kind, value)
            elif kind == _BREAK:
                self._break(value)
            else:
                node = reading.nodes[value]
                if kind == _OPEN and self._leaves_out(node):
                    at = node.closed + 1
                else:
                    self._block(node.flags, kind == _OPEN)
        return bytes(self.out).rstrip(_SPACE_BYTES)

    def _leaves_out(self, node: _Node) -> bool:
        reading, flags, said = self.reading, node.flags, node.said
        if flags & (w.NEVER | reading.unwanted):
            return True
        if not reading.main or flags & w.KEPT:
            return False
        if flags & w.NOT_MAIN or said & w.EXCLUDED or (said & w.EXCLUDED_ITEM and flags & w.ITEM_LIKE):
            return True
        if said & w.CALLED_SO and not self.n_pre:  # inside is code with comments of its own
            reading.hides = True
            return True
        if flags & w.BULLETS and _is_links(node, 5, 0):
            return True
        if flags & w.ARTICLE and _is_links(node, 5, 500):
            return True
        if flags & (w.BLOCK | w.CELL) and said & w.NAMED:
            if said & w.WANTED:
                return False
            if said & w.EXCLUDED_BLOCK:
                return True
        if flags & w.DIVISION:
            return (node.depth > 2 or bool(said & w.NAMED)) and _is_links(
                node, 15, 1500 if said & w.NAMED else 800
            )
        return False

    def _block(self, flags: int, opens: bool) -> None:
        if flags & w.CELL:
            self.in_cell, self.at_start = opens, True
            return
        if not flags & w.BLOCK:
            return
        if flags & w.PRE:
            self.n_pre += 1 if opens else -1
            self.after_pre = opens
        self.margin = max(self.margin, 2 if flags & w.BIG and not self.n_pre else 1)
        self.at_start = True
        if flags & w.LIST:
            self._list(flags, opens)
        elif flags & w.ITEM:
            self._item(opens)

    def _list(self, flags: int, opens: bool) -> None:
        self.prefix = b""
        if opens:
            self.lists.append(1 if flags & w.NUMBERED else 0)
        elif self.lists:
            self.lists.pop()

    def _item(self, opens: bool) -> None:
        self.prefix = b""
        if not opens:
            return
        if self.lists and self.lists[-1]:
            self.prefix = b"%d. " % self.lists[-1]
            self.lists[-1] += 1
        else:
            self.prefix = "\u2022 ".encode()

    def _break(self, n_lines: int) -> None:
        self.margin = min(2, self.margin + 1) if n_lines else max(self.margin, 1)
        self.at_start = True

    def _text(self, start: int, end: int) -> None:
        chunk = self.reading.page[start:end]
        if _is_icon(chunk.strip(_SPACE_BYTES)):
            return
        if self.n_pre:
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
            if self.after_pre and chunk[:1] == b"\n":
                chunk = chunk[1:]
            self.after_pre = False
        else:
            chunk = _SPACES.sub(b" ", chunk)
            if self.at_start or not self.out or self.out[-1] in _SPACE_BYTES:
                chunk = chunk.lstrip(b" ")
        if chunk:
            self._before_text()
            self.out += chunk

    def _before_text(self) -> None:
        out = self.out
        if self.margin or self.in_cell:
            while out and out[-1] in _SPACE_BYTES:
                del out[-1]
        if self.margin or not out:
            if out:
                out += b"\n" * self.margin
            if self.lists:
                out += b"  " * (min(len(self.lists), _MAX_INDENTS) + (0 if self.prefix else 1))
            elif self.prefix:
                out += b"  "
        elif self.in_cell:
            out += b"\t\t"
        out += self.prefix
        self.prefix, self.margin, self.at_start, self.in_cell = b"", 0, False, False


def _is_links(node: _Node, of_25: int, max_length: int) -> bool:
    """Whether more than that share of its text is in links; a text that is longer is never."""
    if max_length and node.text > max_length:
        return False
    return node.links > 0 and 25 * node.links > of_25 * node.text


def _is_icon(text: bytes) -> bool:
    """Whether it is a pilcrow, which links to a heading, or one character of an icon font."""
    return text == b"\xc2\xb6" or (len(text) == 3 and b"\xee\x80\x80" <= text <= b"\xef\xa3\xbf")
