r"""LaTeX to text: what a reader of the paper sees, with formulas as they are written.

The source of one document goes in, paragraphs come out. Kept: prose, headings on lines of their own,
captions, formulas (``$…$``, ``\[…\]``, ``equation`` and its kind) as LaTeX. Dropped: comments, preamble,
references, citations, labels, pictures, the cells of tables. Macros that the author defines with
\newcommand, \renewcommand, \providecommand, \DeclareMathOperator or \def (parameters in a row) are
expanded, in formulas too. TeX is not run: conditionals, counters and packages are not known, and the
argument of a command that isn't known stays as text.

One pass from left to right; work and growth are bounded (``_MAX_GROWTH``), so a macro that calls
itself twice stops being expanded.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field

_MAX_GROWTH = 4
_FREE_CHARS = 100_000
_MAX_DEPTH = 6
_MAX_ARGUMENT_CHARS = 4_000

_COMMENT = re.compile(r"(\\.)|%[^\n]*(?:\n[ \t]*(?=[^\s]))?", re.DOTALL)
_DEFINITION = re.compile(
    r"\\(?:(?:re)?newcommand|providecommand|DeclareRobustCommand)\*?\s{0,9}\{?\s{0,9}\\([A-Za-z@]+)\s{0,9}\}?"
    r"\s{0,9}(?:\[(\d)\])?\s{0,9}(\[[^\[\]]{0,200}\])?\s{0,9}(?=\{)"
    r"|\\[gex]?def\s{0,9}\\([A-Za-z@]+)\s{0,9}((?:#\d)*)\s{0,9}(?=\{)"
    r"|\\DeclareMathOperator\*?\s{0,9}\{\\([A-Za-z@]+)\}\s{0,9}(?=\{)"
)
_COMMAND = re.compile(r"\\([A-Za-z@]+)\*?")
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
_TOKEN = re.compile(
    r"\\(?P<command>[A-Za-z@]+)\*?[ \t]*|\\(?P<escaped>.)"
    r"|(?P<math>\$\$?)|(?P<brace>[{}])|(?P<text>~|---?|``|'')",
    re.DOTALL,
)
_INLINE = re.compile(r"\$(?:[^$\\]|\\.)*\$", re.DOTALL)
_DISPLAY = re.compile(r"\$\$(?:[^$\\]|\\.)*\$\$", re.DOTALL)
_OPTIONS = re.compile(r"(?:\s?\[[^\[\]]{0,500}\]){1,3}")
_ENVIRONMENT = re.compile(r"\{\s?([A-Za-z@]+\*?)\s?\}")
_CAPTION = re.compile(r"\\caption\*?\s?(?:\[[^\[\]]{0,500}\])?\s?(?=\{)")
_TITLE = re.compile(r"\\title\s?(?:\[[^\[\]]{0,500}\])?\s?(?=\{)")
_BLANKS = re.compile(r"[ \t]+")
_ORPHANED_BLANK = re.compile(r"(?<=\S) (?=[,.;](?:\s|$))")
_LINE_ENDS = re.compile(r"\n[ \t]*(?:\n\s*)?")
_GAPS = re.compile(r"\s*\n\s*\n\s*")

_MATH = frozenset(
    "equation align eqnarray gather multline displaymath math flalign alignat subequations dmath".split()
)
_VERBATIM = frozenset("verbatim lstlisting minted Verbatim alltt".split())
_DROPPED = frozenset("thebibliography tikzpicture comment filecontents tabular tabularx longtable".split())
_FLOATS = frozenset("figure table wrapfigure sidewaystable sidewaysfigure algorithm".split())
_HEADINGS = frozenset("part chapter section subsection subsubsection paragraph subparagraph".split())
_ONE_DROPPED = (
    "cite citep citet citealp citealt citeauthor citeyear citeyearpar parencite textcite autocite nocite ref "
    "eqref pageref autoref cref Cref label includegraphics bibliography bibliographystyle input include "
    "usepackage documentclass vspace hspace pagestyle thispagestyle graphicspath date author affiliation "
    "institute email thanks keywords hyphenation vskip index title addbibresource color pacs orcid address "
    "setstretch textcolor colorbox raisebox href renewcommand newcommand providecommand def"
)
_TWO_DROPPED = "resizebox setlength addtolength setcounter newtheorem multicolumn"
_ARGUMENTS_DROPPED: dict[str, int] = {
    name: n_arguments
    for names, n_arguments in ((_ONE_DROPPED, 1), (_TWO_DROPPED, 2))
    for name in names.split()
}
_SYMBOLS = {
    "ldots": "…", "dots": "…", "textellipsis": "…", "LaTeX": "LaTeX",
    "TeX": "TeX", "ss": "ß", "ae": "æ", "AE": "Æ",
    "oe": "œ", "OE": "Œ", "o": "ø", "O": "Ø",
    "l": "ł", "L": "Ł", "aa": "å", "AA": "Å",
    "i": "ı", "j": "ȷ", "S": "§", "textbackslash": "\\",
    "textasciitilde": "~", "textendash": "–", "textemdash": "—", "quad": " ",
    "qquad": " ", "par": "\n\n", "newline": "\n", "linebreak": "\n",
    "item": "\n- ", "copyright": "©", "pounds": "£", "textquoteleft": "‘",
    "textquoteright": "’", "textquotedblleft": "“", "textquotedblright": "”", "textbar": "|",
    "textless": "<", "textgreater": ">", "textregistered": "®", "texttrademark": "™",
    "textdegree": "°", "textunderscore": "_",
}  # fmt: skip
_ACCENTS = {
    "'": "\u0301", "`": "\u0300", "^": "\u0302", '"': "\u0308", "~": "\u0303", "=": "\u0304", ".": "\u0307",
    "c": "\u0327", "v": "\u030c", "u": "\u0306", "H": "\u030b", "r": "\u030a", "k": "\u0328", "d": "\u0323",
}  # fmt: skip
_ACCENTED = re.compile(r"\s?(?:\{\s?(\\?[A-Za-z])\s?\}|(\\[ij])(?![A-Za-z])\s?|([A-Za-z]))")
_NO_SPACE_BEFORE = frozenset(["", *".,;:!?')}{~-/]"])
_ESCAPED = {"\\": "\n", ",": " ", ";": " ", ":": " ", " ": " ", "\n": " ", "!": "", "-": "", "/": "", "@": ""}
_PLAIN = {"~": " ", "--": "–", "---": "—", "``": "“", "''": "”"}
_KNOWN = _ARGUMENTS_DROPPED.keys() | _SYMBOLS.keys() | _HEADINGS | {"begin", "end", "footnote", "caption"}


def latex_text(source: str) -> str:
    """The text of the LaTeX document ``source``: title, a blank line, body."""
    source = without_comments(source)
    source, macros = _without_definitions(source)
    source = expanded(source, macros)
    preamble, begin, body = source.partition("\\begin{document}")
    if not begin:
        preamble, body = "", source
    body = body.partition("\\end{document}")[0]
    titles = [_argument(source, match.end())[0] for match in _first(_TITLE, preamble) or _first(_TITLE, body)]
    texts = [_Converter(text).converted() for text in (*titles, body)]
    return "\n\n".join(filter(None, texts))


def without_comments(source: str) -> str:
    """``source`` without comments; an escaped per cent sign stays."""
    return _COMMENT.sub(lambda match: match[1] or "", source)


@dataclass(frozen=True)
class Macro:
    """A command that the author defines."""

    n_arguments: int
    body: str
    default: str | None = None
    """What the first argument is when it is not given in square brackets; None if it is not optional."""


def _without_definitions(source: str) -> tuple[str, dict[str, Macro]]:
    macros: dict[str, Macro] = {}
    kept: list[str] = []
    position = 0
    for match in _DEFINITION.finditer(source):
        if match.start() < position:
            continue
        body, end = _argument(source, match.end())
        if end == match.end():
            continue
        name = match[1] or match[4] or match[6]
        n_arguments = int(match[2] or 0) if match[1] else len(match[5] or "") // 2
        default = match[3][1:-1] if match[3] else None
        if name not in _KNOWN and name not in _ACCENTS:
            body = f"\\operatorname{{{body}}}" if match[6] else body
            macros[name] = Macro(n_arguments, body, default)
        kept.append(source[position : match.start()])
        position = end
    return "".join([*kept, source[position:]]), macros


def expanded(source: str, macros: dict[str, Macro]) -> str:
    """``source`` with ``macros`` written out, as far as the bound on its growth allows."""
    budget = [_FREE_CHARS + _MAX_GROWTH * len(source)]
    return _expanded(source, macros, budget, _MAX_DEPTH) if macros else source


def _expanded(source: str, macros: dict[str, Macro], budget: list[int], depth: int) -> str:
    kept: list[str] = []
    position = 0
    for match in _COMMAND.finditer(source):
        macro = macros.get(match[1])
        if macro is None or match.start() < position or budget[0] <= 0 or depth == 0:
            continue
        arguments, end = _arguments(source, match.end(), macro)
        body = re.sub(r"#([1-9])", lambda number, found=arguments: found.get(number[1], ""), macro.body)
        budget[0] -= len(body) + 1
        kept += [source[position : match.start()], _expanded(body, macros, budget, depth - 1)]
        position = end
    return "".join([*kept, source[position:]])


def _arguments(source: str, position: int, macro: Macro) -> tuple[dict[str, str], int]:
    arguments: dict[str, str] = {}
    for number in range(1, macro.n_arguments + 1):
        if number == 1 and macro.default is not None:
            options = _OPTIONS.match(source, position)
            arguments["1"] = options[0].strip()[1:-1] if options else macro.default
            position = options.end() if options else position
        else:
            arguments[str(number)], position = _argument(source, position)
    return arguments, position


def _argument(source: str, position: int) -> tuple[str, int]:
    """The braced group at ``position`` without its braces, and where it ends; ("", position) if none."""
    start = position
    while source[start : start + 1].isspace() and start - position < 3:
        start += 1
    if source[start : start + 1] != "{":
        return "", position
    depth = 0
    for match in _BRACE.finditer(source, start, start + _MAX_ARGUMENT_CHARS):
        depth += {"{": 1, "}": -1}.get(match[0], 0)
        if depth == 0:
            return source[start + 1 : match.start()], match.end()
    return "", position


def _first(pattern: re.Pattern[str], text: str) -> list[re.Match[str]]:
    match = pattern.search(text)
    return [match] if match else []


@dataclass
class _Converter:
    """Source to text, one token after the other."""

    source: str
    position: int = 0
    parts: list[str] = field(default_factory=list)
    closings: list[str] = field(default_factory=list)
    """What is written where each open brace closes."""
    never_closed: set[str] = field(default_factory=set)

    def converted(self) -> str:
        """The text."""
        while match := _TOKEN.search(self.source, self.position):
            self._prose(match.start())
            self.position = match.end()
            kind = match.lastgroup
            if kind == "command":
                self._command(match["command"])
            elif kind == "escaped":
                self._escaped(match["escaped"], match.start())
            elif kind == "math":
                self._math(match.start())
            elif kind == "brace":
                self._brace(match["brace"])
            else:
                self.parts.append(_PLAIN[match["text"]])
        self._prose(len(self.source))
        return _tidy("".join(self.parts))

    def _prose(self, end: int) -> None:
        prose = self.source[self.position : end]
        self.parts.append(_LINE_ENDS.sub(lambda ends: " " if ends[0].count("\n") == 1 else "\n\n", prose))

    def _command(self, name: str) -> None:
        if name == "begin":
            self._environment()
        elif name == "end":
            self._skip_name()
            self.parts.append("\n")
        elif name in _HEADINGS or name == "caption":
            self._open_group("\n\n", "\n\n")
        elif name == "footnote":
            self._open_group(" (", ")")
        elif name in _SYMBOLS:
            self.parts.append(_SYMBOLS[name])
            if name == "item":
                self._skip_options()
        elif name == "xspace":
            self.parts.append(
                "" if self.source[self.position : self.position + 1] in _NO_SPACE_BEFORE else " "
            )
        elif name in _ACCENTS and (accented := _ACCENTED.match(self.source, self.position)):
            self._accent(name, accented)
        else:
            self._skip_options()
            for _ in range(_ARGUMENTS_DROPPED.get(name, 0)):
                self.position = _argument(self.source, self.position)[1]

    def _open_group(self, before: str, after: str) -> None:
        self._skip_options()
        if self.source[self.position : self.position + 1] == "{":
            self.position += 1
            self.parts.append(before)
            self.closings.append(after)

    def _brace(self, brace: str) -> None:
        if brace == "{":
            self.closings.append("")
        elif self.closings:
            self.parts.append(self.closings.pop())

    def _escaped(self, character: str, start: int) -> None:
        if character in "[(":
            closing = "\\]" if character == "[" else "\\)"
            self._copy_to(closing, start)
        elif character in _ACCENTS and (accented := _ACCENTED.match(self.source, self.position)):
            self._accent(character, accented)
        else:
            self.parts.append(_ESCAPED.get(character, character))
            if character == "\\":
                self._skip_options()

    def _accent(self, accent: str, match: re.Match[str]) -> None:
        letter = (match[1] or match[2] or match[3]).removeprefix("\\")
        self.position = match.end()
        self.parts.append(unicodedata.normalize("NFC", letter + _ACCENTS[accent]))

    def _math(self, start: int) -> None:
        display = self.source.startswith("$$", start)
        match = (_DISPLAY if display else _INLINE).match(self.source, start)
        if match:
            self.parts.append(f"\n{match[0]}\n" if display else match[0])
            self.position = match.end()

    def _copy_to(self, closing: str, start: int) -> None:
        """Keep the source up to ``closing`` as it is; what never closes is text."""
        end = -1 if closing in self.never_closed else self.source.find(closing, self.position)
        if end < 0:
            self.never_closed.add(closing)
            return
        self.position = end + len(closing)
        self.parts.append(self.source[start : self.position])

    def _environment(self) -> None:
        start = self.position
        match = _ENVIRONMENT.match(self.source, self.position)
        if match is None:
            return
        self.position = match.end()
        name, closing = match[1].rstrip("*"), f"\\end{{{match[1]}}}"
        if name in _MATH:
            self.parts.append("\n")
            self._copy_to(closing, self.source.rfind("\\", 0, start))
            self.parts.append("\n")
        elif name in _VERBATIM or name in _DROPPED or name in _FLOATS:
            self._block(name, closing)
        else:
            self._skip_options()
            self.parts.append("\n\n" if name == "abstract" else "\n")

    def _block(self, name: str, closing: str) -> None:
        end = -1 if closing in self.never_closed else self.source.find(closing, self.position)
        if end < 0:
            self.never_closed.add(closing)
            return
        inside = self.source[self.position : end]
        self.position = end + len(closing)
        if name in _VERBATIM:
            self.parts.append(f"\n\n{inside.strip()}\n\n")
        elif name in _FLOATS:
            captions = [_argument(inside, match.end())[0] for match in _CAPTION.finditer(inside)]
            self.parts += [f"\n\n{_Converter(caption).converted()}\n\n" for caption in captions]

    def _skip_options(self) -> None:
        if self.source[self.position : self.position + 2].lstrip()[:1] == "[" and (
            match := _OPTIONS.match(self.source, self.position)
        ):
            self.position = match.end()

    def _skip_name(self) -> None:
        if match := _ENVIRONMENT.match(self.source, self.position):
            self.position = match.end()


def _tidy(text: str) -> str:
    """One line a paragraph, a blank line between two; formulas on lines of their own keep theirs."""
    paragraphs = (_ORPHANED_BLANK.sub("", _BLANKS.sub(" ", part)).strip() for part in _GAPS.split(text))
    lines = ("\n".join(filter(None, map(str.strip, part.split("\n")))) for part in paragraphs)
    return "\n\n".join(filter(None, lines))
