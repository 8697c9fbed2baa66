"""Wikitext to plain text: what a reader of the article sees, without tables, references and files.

Kept: paragraphs, headings (each on a line of its own, dropped when nothing follows), list items
with a dash, the words of links. Dropped: templates, tables, files, categories, references,
comments, markup. Templates are not expanded, so what they would have written
("{{convert|5|km}}") is missing. Each step is one pass whose time is linear in the text, and what
is opened and never closed is left as text.
"""

from __future__ import annotations

import html
import re
from collections import Counter
from dataclasses import dataclass
from itertools import chain


@dataclass(frozen=True)
class Namespaces:
    """Names, in lower case, that start links to files and categories."""

    names: frozenset[str] = frozenset({"file", "image", "category"})

    def also(self, name: str) -> Namespaces:
        """These and ``name``, as the dump's language spells it."""
        return Namespaces(self.names | {name.lower()})


def plain_text(wikitext: str, namespaces: Namespaces | None = None) -> str:
    """The text that a reader of ``wikitext`` sees."""
    text = _without_tags(_COMMENT.sub("", wikitext))
    text = _without_brackets(text, namespaces or Namespaces())
    text = _EXTERNAL_LINK.sub(lambda match: match[1] or "", text)
    text = _MAGIC_WORD.sub("", _TAG.sub("", _EMPHASIS.sub("", text)))
    text = html.unescape(text).replace("\xa0", " ")
    return _paragraphs(_ORPHANED_BLANK.sub("", _EMPTY_PARENTHESES.sub("", text)))


_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
_DROPPED_TAG = re.compile(
    r"<(/?)(ref|gallery|math|chem|timeline|imagemap|score|graph|templatedata)\b[^<>]*?(/?)>", re.IGNORECASE
)
_BRACKETS = re.compile(r"\{\{|\}\}|\{\||\|\}|\[\[|\]\]")
_OPENER = {"}}": "{{", "|}": "{|", "]]": "[["}
_LANGUAGE_PREFIX = re.compile(r"[a-z]{2,3}(?:-[a-z]+)*")
_EXTERNAL_LINK = re.compile(r"\[(?:https?:|ftp:|mailto:)?//[^\s\[\]]+(?:[ \t]+([^\[\]\n]*))?\]")
_EMPHASIS = re.compile(r"'{2,5}")
_TAG = re.compile(r"</?[a-zA-Z][^<>\n]*>")
_MAGIC_WORD = re.compile(r"__[A-Z]{3,}__")
_EMPTY_PARENTHESES = re.compile(r" ?\([ ,;:]*\)")
_ORPHANED_BLANK = re.compile(r"(?<=\S) +(?=[,)])")
_BLANKS = re.compile(r"[ \t]+")
_HEADING = re.compile(r"(={1,6})([^=].*?)\1")
_LIST_MARKERS = ("*", "#", ":", ";")
_LIST_ITEM = re.compile(r"([*#:;]+) *")


def _without_tags(text: str) -> str:
    """``text`` without the elements whose content is no prose, from opening to closing tag."""
    kept: list[str] = []
    position, open_tag, open_at = 0, "", 0
    for match in _DROPPED_TAG.finditer(text):
        closing, tag, self_closing = match[1], match[2].lower(), match[3]
        if not open_tag:
            kept.append(text[position : match.start()])
            position = match.end()
            if not closing and not self_closing:
                open_tag, open_at = tag, match.end()
        elif closing and tag == open_tag:
            position, open_tag = match.end(), ""
    kept.append(text[open_at if open_tag else position :])
    return "".join(kept)


def _without_brackets(text: str, namespaces: Namespaces) -> str:
    """``text`` without templates and tables, links replaced by their words.

    ``parts[n]`` gathers the text directly inside the n-th bracket that is open.
    """
    opened: list[str] = [""]
    parts: list[list[str]] = [[]]
    n_open = Counter[str]()
    position, closed = 0, ""
    for match in _BRACKETS.finditer(text):
        parts[-1].append(text[position : match.start()])
        position = match.end()
        bracket = match[0]
        opener = _OPENER.get(bracket)
        if opener is None:
            opened.append(bracket)
            parts.append([])
            n_open[bracket] += 1
        elif n_open[opener]:
            inside: list[list[str]] = []
            while not inside or closed != opener:  # what was opened inside and not closed is text
                closed = opened.pop()
                n_open[closed] -= 1
                inside.append(parts.pop())
            if opener == "[[":
                words = "".join(chain.from_iterable(reversed(inside)))
                parts[-1].append(_link_words(words, namespaces))
    parts[-1].append(text[position:])
    return "".join(chain.from_iterable(parts))


def _link_words(inner: str, namespaces: Namespaces) -> str:
    target, _, label = inner.partition("|")
    prefix, colon, _ = target.partition(":")
    prefix = prefix.strip()
    if colon and (prefix.lower() in namespaces.names or _LANGUAGE_PREFIX.fullmatch(prefix)):
        return ""
    return label.rpartition("|")[2] or target.strip().lstrip(":").replace("_", " ")


def _paragraphs(text: str) -> str:
    """Tidy lines: blanks squeezed, one empty line between paragraphs, headings only where text follows."""
    kept: list[str] = []
    headings: list[tuple[int, str]] = []  # those that nothing has followed yet, with their levels
    gap = False
    for raw in text.splitlines():
        line = _BLANKS.sub(" ", raw).strip()
        heading = _HEADING.fullmatch(line)
        if heading:
            level = len(heading[1])
            headings = [item for item in headings if item[0] < level] + [(level, heading[2].strip())]
            continue
        line = _LIST_ITEM.sub(_dash, line, count=1).rstrip() if line.startswith(_LIST_MARKERS) else line
        if line in ("", "-"):
            gap = True
            continue
        for _, title in headings:
            kept += ["", title]
        kept += ["", line] if gap or headings else [line]
        gap, headings = False, []
    return "\n".join(kept).strip()


def _dash(marker: re.Match[str]) -> str:
    return "- " if marker[1][-1] in "*#" else ""
