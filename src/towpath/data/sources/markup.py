"""Markup of manuals as plain text: Markdown, reStructuredText, man pages and Perl's POD.

Each function takes a file's text and gives text in one form: headings as ``# Title``, code between
lines of three backticks, paragraphs between blank lines. Front matter, comments, images, link targets and
directives that only steer the output are left out. This is no rendering: what is unknown stays as it is
written. One pass over the lines each, so time grows with the length alone.

CommonMark 0.31; docutils' reStructuredText specification; man-pages(7), groff_man(7), mdoc(7); perlpod.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from html import unescape

_FENCE = "```"
_BLANKS = re.compile(r"\n{3,}")


def _tidy(lines: Iterator[str]) -> str:
    return _BLANKS.sub("\n\n", "\n".join(line.rstrip() for line in lines)).strip("\n")


def _without_front_matter(lines: list[str]) -> list[str]:
    """``lines`` after a block of YAML (---) or TOML (+++) settings at the top."""
    if lines and (mark := lines[0].rstrip()) in ("---", "+++"):
        ends = (mark, "...") if mark == "---" else (mark,)
        for number in range(1, len(lines)):
            if lines[number].rstrip() in ends:
                return lines[number + 1 :]
    return lines


# Markdown

_MARKDOWN_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_MARKDOWN_RULES: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"<!--.*?-->"), ""),
    (re.compile(r"!\[[^\]\n]{0,500}\](?:\([^()\n]{0,1000}\)|\[[^\]\n]{0,200}\])"), ""),
    (
        re.compile(
            r"\[([^\[\]\n]{0,1000})\]"
            r"(?:\([^()\n]{0,1000}(?:\([^()\n]{0,200}\)[^()\n]{0,200})?\)|\[[^\]\n]{0,200}\])"
        ),
        r"\1",
    ),
    (re.compile(r"<(https?://[^<>\s]{1,1000})>"), r"\1"),
    (re.compile(r"</?[A-Za-z][^<>\n]{0,500}>"), ""),
    (re.compile(r"(\*\*|__)(?=\S)([^*_\n]{1,1000})\1"), r"\2"),
)
_MARKDOWN_TARGET = re.compile(r" {0,3}\[[^\]]{1,200}\]:\s")


def markdown_text(text: str) -> str:
    """The text of a Markdown file."""
    return _tidy(_markdown_lines(_without_front_matter(text.splitlines())))


def _markdown_lines(lines: list[str]) -> Iterator[str]:
    fence, in_comment = "", False
    for line in lines:
        match = _MARKDOWN_FENCE.match(line)
        if fence:
            closes = match is not None and match[1].startswith(fence) and not line.strip(" `~")
            fence = "" if closes else fence
            yield _FENCE if closes else line
        elif match:
            fence = match[1]
            yield _FENCE + line[match.end() :].strip()
        elif in_comment or ("<!--" in line and "-->" not in line):
            in_comment = "-->" not in line
            if line.partition("<!--")[0].strip() and not line.startswith("-->"):
                yield line.partition("<!--")[0] if "<!--" in line else ""
        elif not _MARKDOWN_TARGET.match(line):
            yield line if line.startswith(("    ", "\t")) else _markdown_inline(line)


def _markdown_inline(line: str) -> str:
    for pattern, replacement in _MARKDOWN_RULES:
        line = pattern.sub(replacement, line)
    return unescape(line)


# reStructuredText

_ADORNMENT = re.compile(r"([!-/:-@\[-`{-~])\1{2,}\s*$")
_DIRECTIVE = re.compile(r"\.\.\s+(?:\|[^|]{1,100}\|\s+)?([A-Za-z][\w:.+-]{0,60})::\s?(.*)$")
_CODE = frozenset({"code", "code-block", "sourcecode", "highlight", "parsed-literal", "math", "doctest"})
_CODE |= frozenset({"testcode", "prompt", "ipython", "productionlist", "literalinclude"})
_STEERING = frozenset({"image", "figure", "toctree", "contents", "raw", "include", "index", "meta", "role"})
_STEERING |= frozenset(
    {"default-role", "currentmodule", "module", "moduleauthor", "sectionauthor", "highlight"}
)
_STEERING |= frozenset({"only", "graphviz", "plot", "autosummary", "automodule", "autoclass", "autofunction"})
_STEERING |= frozenset({"title", "sectnum", "header", "footer", "replace", "unicode", "tabularcolumns"})
_REST_RULES: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"(?::[a-zA-Z][\w:+.-]{0,40}:)`[~!]?([^`<\n]{1,500}?)\s?(?:<[^<>`\n]{1,500}>)?`"), r"\1"),
    (re.compile(r"(?<!`)`([^`<\n]{1,500}?)\s?<[^<>`\n]{1,500}>`__?"), r"\1"),
    (re.compile(r"(?<![`\w])`([^`\n]{1,500})`__?"), r"\1"),
    (re.compile(r"``([^`\n]{1,500})``"), r"`\1`"),
    (re.compile(r"\*\*(?=\S)([^*\n]{1,500})\*\*"), r"\1"),
    (re.compile(r"(?<=\w)__?(?=[\s.,;:)]|$)"), ""),
)


def rest_text(text: str) -> str:
    """The text of a reStructuredText file."""
    return _tidy(_rest_lines(_without_front_matter(text.expandtabs(8).splitlines())))


def _rest_lines(lines: list[str]) -> Iterator[str]:
    levels: dict[str, int] = {}
    at = 0
    while at < len(lines):
        line = lines[at]
        if title := _rest_title(lines, at):
            name, style, at = title
            yield f"{'#' * levels.setdefault(style, len(levels) + 1)} {name}"
        elif (stripped := line.lstrip()).startswith(".. ") or stripped.rstrip() == "..":
            kept, at = _rest_explicit(lines, at)
            yield from kept
        elif line.rstrip().endswith("::"):
            said = _rest_inline(line.rstrip()[:-2])
            yield said + ":" if said.strip() else ""
            block, at = _rest_block(lines, at + 1, len(line) - len(stripped))
            yield from _fenced(block)
        else:
            yield _rest_inline(line)
            at += 1


def _rest_title(lines: list[str], at: int) -> tuple[str, str, int] | None:
    """A title that starts at line ``at``: its text, style and the line after it."""
    line = lines[at]
    over = _ADORNMENT.match(line)
    if over and at + 2 < len(lines) and lines[at + 2].rstrip() == line.rstrip() and lines[at + 1].strip():
        return lines[at + 1].strip(), over[1] * 2, at + 3
    if at + 1 >= len(lines) or not line.strip() or line[0] == " " or over:
        return None
    under = _ADORNMENT.match(lines[at + 1])
    if under and len(lines[at + 1].rstrip()) >= len(line.rstrip()):
        return _rest_inline(line.strip()), under[1], at + 2
    return None


def _rest_explicit(lines: list[str], at: int) -> tuple[list[str], int]:
    """What stays of the directive, target or comment at line ``at``, and the line after it."""
    line = lines[at]
    margin = len(line) - len(line.lstrip())
    match = _DIRECTIVE.match(line.lstrip())
    name = match[1].lower().rpartition(":")[2] if match else ""
    if match and (name not in _CODE and name not in _STEERING):
        return [_rest_inline(match[2])] if match[2].strip() else [], at + 1  # its content is text
    block, after = _rest_block(lines, at + 1, margin)
    if name in _CODE and block:
        options = next((number for number, row in enumerate(block) if not row.startswith(":")), len(block))
        return list(_fenced(block[options:], match[2].strip() if match else "")), after
    return [""], after


def _rest_block(lines: list[str], at: int, margin: int) -> tuple[list[str], int]:
    """The lines from ``at`` that are indented more than ``margin``, without their indent."""
    end = at
    while end < len(lines) and (not lines[end].strip() or lines[end][: margin + 1].isspace()):
        end += 1
    block = lines[at:end]
    indent = min((len(row) - len(row.lstrip()) for row in block if row.strip()), default=0)
    return [row[indent:] for row in block], end


def _fenced(block: list[str], language: str = "") -> Iterator[str]:
    first = next((number for number, row in enumerate(block) if row.strip()), len(block))
    last = next((number for number in range(len(block), first, -1) if block[number - 1].strip()), first)
    if first < last:
        yield from ("", _FENCE + language, *block[first:last], _FENCE, "")


def _rest_inline(line: str) -> str:
    if line.lstrip().startswith(":") and re.match(r"\s*:(?:orphan|nosearch|tocdepth)\b", line):
        return ""
    for pattern, replacement in _REST_RULES:
        line = pattern.sub(replacement, line)
    return line


# man pages

_ROFF_ESCAPES: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r'\\".*'), ""),
    (re.compile(r"\\f(?:\(..|\[[^\]\n]{0,20}\]|.)"), ""),
    (re.compile(r"\\s(?:[-+]?\d{1,2}|\[[^\]\n]{0,20}\])"), ""),
    (re.compile(r"\\\*(?:\(..|\[[^\]\n]{0,40}\]|.)"), ""),
    (re.compile(r"\\[&|^/,%:)c]"), ""),
    (re.compile(r"\\[~0 ]"), " "),
)
_ROFF_NAMES = {
    "aq": "'",
    "dq": '"',
    "lq": "“",
    "rq": "”",
    "oq": "‘",
    "cq": "’",
    "em": "—",
    "en": "–",
    "bu": "•",
}
_ROFF_NAMES |= {"co": "©", "rg": "®", "rs": "\\", "ti": "~", "ha": "^", "ga": "`", "hy": "-", "mi": "-"}
_ROFF_NAMES |= {
    "->": "→",
    "<-": "←",
    ">=": "≥",
    "<=": "≤",
    "mu": "×",
    "at": "@",
    "sh": "#",
    "Do": "$",
    "tm": "™",
}
_ROFF_NAMED = re.compile(r"\\(?:\((..)|\[([^\]\n]{1,20})\])")
_ROFF_REST = re.compile(r"\\(.)")
_ROFF_SIMPLE = {"-": "-", "e": "\\", "\\": "\\", "'": "'", "`": "`", ".": ".", "_": "_", "(": "("}
_ROFF_WORDS = re.compile(r'"((?:[^"]|"")*)"|(\S+)')
_FONTS = frozenset({"B", "I", "R", "SM", "SB", "BI", "BR", "IB", "IR", "RB", "RI"})
_JOINED = frozenset({"BI", "BR", "IB", "IR", "RB", "RI"})
_MDOC_WORDS = frozenset(
    {"Nm", "Ar", "Pa", "Cm", "Ev", "Va", "Em", "Sy", "Li", "Fn", "Ft", "Fa", "Dv", "Er", "Ic"}
)
_MDOC_WORDS |= frozenset(
    {"Op", "Fl", "Xr", "Nd", "Ql", "Dq", "Sq", "Qq", "Pq", "An", "Tn", "Bx", "In", "Vt", "Sx"}
)
_MDOC_AROUND = {"Op": "[]", "Dq": "“”", "Sq": "‘’", "Qq": '""', "Pq": "()", "Ql": "‘’"}


def roff_text(text: str) -> str:
    """The text of a man page, in the macros of man(7) or mdoc(7)."""
    return _tidy(_roff_lines(text.splitlines()))


def _roff_lines(lines: list[str]) -> Iterator[str]:
    in_code, skip_until = False, ""
    for raw in lines:
        macro, _, rest = raw[1:].lstrip().partition(" ") if raw[:1] in (".", "'") else ("", "", "")
        if skip_until:
            skip_until = "" if raw.startswith(skip_until) else skip_until
        elif not macro and raw[:1] not in (".", "'"):
            yield _roff_inline(raw)
        elif macro in ("ig", "de", "de1", "am"):
            skip_until = ".."
        elif macro in ("nf", "EX", "Bd") and not in_code:
            in_code = True
            yield from ("", _FENCE)
        elif macro in ("fi", "EE", "Ed") and in_code:
            in_code = False
            yield from (_FENCE, "")
        elif macro in ("SH", "Sh", "SS", "Ss"):
            if in_code:
                yield _FENCE
            in_code = False
            yield from ("", f"{'#' if macro in ('SH', 'Sh') else '##'} {_roff_words(rest)}", "")
        elif macro in ("PP", "P", "LP", "Pp", "sp", "TP", "IP", "HP", "It", "TQ"):
            yield ""
            if macro in ("IP", "It") and rest:
                yield (
                    _mdoc(rest)
                    if macro == "It"
                    else (_ROFF_WORDS.findall(rest) or [("", "")])[0][0] or _roff_inline(rest.split()[0])
                )
        elif macro in _FONTS:
            yield _roff_words(rest, "" if macro in _JOINED else " ")
        elif macro in _MDOC_WORDS:
            yield _mdoc(f"{macro} {rest}")
    if in_code:
        yield _FENCE


def _roff_words(rest: str, between: str = " ") -> str:
    words = [quoted.replace('""', '"') or plain for quoted, plain in _ROFF_WORDS.findall(rest)]
    return _roff_inline(between.join(words))


def _mdoc(rest: str) -> str:
    """Words with mdoc macros among them: ``Fl x`` is ``-x``, ``Op ...`` is in brackets to the line's end."""
    found: list[str] = []
    ends = ""
    words = rest.split()
    for number, word in enumerate(words):
        before = words[number - 1] if number else ""
        if word in _MDOC_AROUND and len(word) == 2:
            found.append(_MDOC_AROUND[word][0])
            ends = _MDOC_AROUND[word][1] + ends
        elif word not in _MDOC_WORDS:
            found.append(f"-{word}" if before == "Fl" else word)
    return _roff_inline(" ".join(found).replace("[ ", "[") + ends)


def _roff_inline(line: str) -> str:
    for pattern, replacement in _ROFF_ESCAPES:
        line = pattern.sub(replacement, line)
    line = _ROFF_NAMED.sub(lambda match: _ROFF_NAMES.get(match[1] or match[2], ""), line)
    return _ROFF_REST.sub(lambda match: _ROFF_SIMPLE.get(match[1], match[1]), line)


# POD

_POD_CODE = re.compile(r"([A-Z])(?:<<+\s([^<>\n]{0,500})\s>>+|<([^<>\n]{0,500})>)")
_POD_ESCAPES = {"lt": "\x01", "gt": "\x02", "sol": "/", "verbar": "|"}
_POD_LAST = {1: "<", 2: ">"}  # they stand for themselves only when no code is left
_POD_DEPTH = 4


def pod_text(text: str) -> str:
    """The text of a POD file, without the Perl code around it."""
    return _tidy(_pod_lines(text.splitlines()))


def _pod_lines(lines: list[str]) -> Iterator[str]:
    inside, skipped, in_code = False, False, False
    for line in lines:
        if match := re.match(r"=([a-z]+\d?)\s?(.*)", line):
            if in_code:
                yield from (_FENCE, "")
            command, rest = match.groups()
            inside, in_code = command != "cut", False
            skipped = command in ("begin", "for") or (skipped and command != "end")
            if command.startswith("head") and command[4:].isdigit():
                yield from ("", f"{'#' * int(command[4:])} {_pod_inline(rest)}", "")
            elif command == "item":
                yield from ("", _pod_inline(rest))
        elif inside and not skipped:
            verbatim = line[:1] in (" ", "\t")
            if line.strip() and verbatim != in_code:
                in_code = verbatim
                yield _FENCE
            yield line if verbatim else _pod_inline(line)
        elif skipped and not line.strip():
            skipped = False
    if in_code:
        yield _FENCE


def _pod_inline(line: str) -> str:
    for _ in range(_POD_DEPTH):  # codes may stand in codes
        replaced = _POD_CODE.sub(_pod_code, line)
        if replaced == line:
            break
        line = replaced
    return line.translate(_POD_LAST)


def _pod_code(match: re.Match[str]) -> str:
    content = match[2] if match[2] is not None else match[3]
    if match[1] == "E":
        return _POD_ESCAPES.get(content, unescape(f"&{content};"))
    if match[1] in "XZ":
        return ""
    return content.partition("|")[0] if match[1] == "L" else content


STRIPPERS: dict[str, Callable[[str], str]] = {
    "markdown": markdown_text,
    "rest": rest_text,
    "roff": roff_text,
    "pod": pod_text,
}
"""How each kind of markup becomes text."""
