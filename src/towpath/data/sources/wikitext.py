"""Wikitext to plain text: what a reader of the article sees, without tables, references and files.

Kept: paragraphs, headings (each on a line of its own, dropped when nothing follows), list items
with a dash, the words of links, formulas as ``$…$``. Dropped: templates, tables, files, categories,
references, comments, markup. Templates are not expanded, so what they would have written
("{{convert|5|km}}") is missing. Each step is one pass whose time is linear in the text, and what
is opened and never closed is left as text. ``kernels/wikitext.cpp`` has the same passes; only ASCII
carries meaning, so that both see the same.
"""

from __future__ import annotations

import html
import re
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from string import ascii_lowercase, ascii_uppercase


@dataclass(frozen=True)
class Namespaces:
    """Names, A-Z in lower case, that start links to files and categories."""

    names: frozenset[str] = frozenset({"file", "image", "category"})

    def also(self, name: str) -> Namespaces:
        """These and ``name``, as the dump's language spells it, in small and in capital letters too."""
        return Namespaces(self.names | {_lower(item) for item in (name, name.lower(), name.upper())})

    @cached_property
    def lines(self) -> bytes:
        """The names, a line feed behind each."""
        return "".join(f"{name}\n" for name in sorted(self.names)).encode()


_DEFAULT = Namespaces()


def plain_text(wikitext: str, namespaces: Namespaces = _DEFAULT) -> str:
    """The text that a reader of ``wikitext`` sees."""
    from towpath.data.kernels.wikitext import compiled_text

    text = compiled_text(wikitext, namespaces.lines, _resolved)
    return reference_plain_text(wikitext, namespaces) if text is None else text


def reference_plain_text(wikitext: str, namespaces: Namespaces = _DEFAULT) -> str:
    """The same in Python."""
    text = _without_tags(_COMMENT.sub("", wikitext))
    text = _without_brackets(text, namespaces)
    text = _EXTERNAL_LINK.sub(lambda match: match[1] or "", text)
    text = _MAGIC_WORD.sub("", _TAG.sub("", _EMPHASIS.sub("", text)))
    text = _ORPHANED_BLANK.sub("", _EMPTY_PARENTHESES.sub("", _resolved(text)))
    return _paragraphs(text).translate(_SHOWN).strip(_SPACE)


_SPACE = " \t\n\r\f\v"
_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
_DROPPED_TAG = re.compile(
    r"<(/?)(ref|gallery|math|chem|timeline|imagemap|score|graph|templatedata)\b[^<>]*?(/?)>",
    re.IGNORECASE | re.ASCII,
)
_FORMULAS = ("math", "chem")
_HIDDEN = str.maketrans("{}[]|'<>()_=\n", "\x01\x02\x03\x04\x05\x06\x0e\x0f\x10\x11\x12\x13 ")
"""Signs of a formula until the end, so that they aren't taken for markup; no XML holds these characters."""
_SHOWN = {hidden: sign for sign, hidden in _HIDDEN.items() if hidden != ord(" ")}
_BRACKETS = re.compile(r"\{\{|\}\}|\{\||\|\}|\[\[|\]\]")
_OPENER = {"}}": "{{", "|}": "{|", "]]": "[["}
_LANGUAGE_PREFIX = re.compile(r"[a-z]{2,3}(?:-[a-z]+)*")
_EXTERNAL_LINK = re.compile(r"\[(?:https?:|ftp:|mailto:)?//[^\s\[\]]+(?:[ \t]+([^\[\]\n]*))?\]", re.ASCII)
_EMPHASIS = re.compile(r"'{2,5}")
_TAG = re.compile(r"</?[a-zA-Z][^<>\n]*>")
_MAGIC_WORD = re.compile(r"__[A-Z]{3,}__")
_EMPTY_PARENTHESES = re.compile(r" ?\([ ,;:]*\)")
_ORPHANED_BLANK = re.compile(r"(?<=\S) +(?=[,)])", re.ASCII)
_BLANKS = re.compile(r"[ \t]+")
_HEADING = re.compile(r"(={1,6})([^=].*?)\1", re.DOTALL)
_LIST_MARKERS = ("*", "#", ":", ";")
_LIST_ITEM = re.compile(r"([*#:;]+)")
_HUGE_REFERENCE = re.compile(r"&#[xX]?[0-9a-fA-F]{9,};?")  # no character has such a number
_LOWER = str.maketrans(ascii_uppercase, ascii_lowercase)


def _lower(text: str) -> str:
    return text.translate(_LOWER)


def _resolved(text: str) -> str:
    """``text`` with characters in the places of their references."""
    if "&" in text:
        text = html.unescape(_HUGE_REFERENCE.sub("\ufffd", text))
    return text.replace("\xa0", " ")


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
            formula = text[open_at : match.start()].strip(_SPACE) if tag in _FORMULAS else ""
            kept.append(f"${formula.translate(_HIDDEN)}$" if formula else "")
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
    prefix = prefix.strip(_SPACE)
    if colon and (_lower(prefix) in namespaces.names or _LANGUAGE_PREFIX.fullmatch(prefix)):
        return ""
    return label.rpartition("|")[2] or target.strip(_SPACE).lstrip(":").replace("_", " ")


def _paragraphs(text: str) -> str:
    """Tidy lines: blanks squeezed, one empty line between paragraphs, headings only where text follows."""
    kept: list[str] = []
    headings: list[tuple[int, str]] = []  # those that nothing has followed yet, with their levels
    gap = False
    for raw in text.split("\n"):
        line = _BLANKS.sub(" ", raw).strip(_SPACE)
        heading = _HEADING.fullmatch(line)
        if heading:
            level = len(heading[1])
            headings = [item for item in headings if item[0] < level] + [(level, heading[2].strip(_SPACE))]
            continue
        if line.startswith(_LIST_MARKERS):
            markers = _LIST_ITEM.match(line)[0]  # type: ignore[index]
            words = line[len(markers) :].strip(_SPACE)
            line = ("- " if markers[-1] in "*#" and words else "") + words
        if line in ("", "-"):
            gap = True
            continue
        for _, title in headings:
            kept += ["", title]
        kept += ["", line] if gap or headings else [line]
        gap, headings = False, []
    return "\n".join(kept)
