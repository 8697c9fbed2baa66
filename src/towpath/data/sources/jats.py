"""Articles of PubMed as text: JATS (PubMed Central) and MEDLINE citations, read as a stream.

Bytes of XML go in, articles come out as they end: title, abstract, sections with their headings, and
captions; formulas as their TeX, or the letters of their MathML. References, tables, author lists
and marks that point to references are left out. Formats: https://jats.nlm.nih.gov and
https://dtd.nlm.nih.gov/ncbi/pubmed. Entities that a DTD outside would declare are read as HTML's.
"""

from __future__ import annotations

import html
import re
import time
from dataclasses import dataclass, field

from towpath.data.sources.limits import (
    DOCUMENT_SECONDS,
    MAX_DOCUMENT_BYTES,
    SHOWN_BYTES,
    check_depth,
    feed,
    safe_expat,
)

_RECORDS = frozenset({"article", "PubmedArticle"})
_DROPPED = frozenset(
    {"ref-list", "sub-article", "response", "object-id", "graphic", "media", "supplementary-material"}
    | {
        "ReferenceList",
        "CommentsCorrectionsList",
        "contrib-group",
        "journal-meta",
        "back",
        "floats-wrap",
        "label",
    }
    | {"aff", "author-notes", "related-article", "processing-meta", "counts"}
)
_TABLES = frozenset({"table-wrap", "table", "array"})
_BLOCKS = frozenset(
    {
        "p",
        "title",
        "sec",
        "caption",
        "list",
        "disp-quote",
        "disp-formula",
        "abstract",
        "def-item",
        "verse-line",
        "fig",
    }
    | {"AbstractText", "article-title", "ArticleTitle", "tr", "statement", "boxed-text"}
)
_SLOTS = {
    "abstract": "abstract", "AbstractText": "abstract", "ArticleTitle": "title", "body": "body",
    "license": "licence", "article-id": "id", "PMID": "id", "ArticleId": "id",
}  # fmt: skip
_DATE_OF = frozenset({"pub-date", "PubDate", "ArticleDate"})
_MONTHS = {
    name: number for number, name in enumerate("jan feb mar apr may jun jul aug sep oct nov dec".split(), 1)
}
_LICENCE_URL = re.compile(r"creativecommons\.org/(licenses|publicdomain)/([a-z+-]+)/(\d\.\d)", re.IGNORECASE)
_LICENCE_NAMES = (
    ("non-commercial", "LicenseRef-CC-BY-NC"),
    ("noncommercial", "LicenseRef-CC-BY-NC"),
    ("creative commons attribution", "LicenseRef-CC-BY"),
    ("public domain", "LicenseRef-public-domain"),
)
_TEX_BODY = re.compile(r"\\begin\{document\}(.*?)\\end\{document\}", re.DOTALL)


@dataclass
class Article:
    """One article."""

    byte_offset: int
    title: str = ""
    abstract: list[str] = field(default_factory=list)
    """Paragraphs."""
    body: list[str] = field(default_factory=list)
    """Paragraphs and headings."""
    ids: dict[str, str] = field(default_factory=dict)
    """``pmid``, ``pmc``, ``doi``, …"""
    licence: str | None = None
    """SPDX identifier, where one is stated."""
    dates: list[str] = field(default_factory=list)
    reason: str | None = None
    """Why its text is not whole: "record_too_long" or "too_slow"; then there is a piece of it alone."""

    @property
    def text(self) -> str:
        """Title, abstract and body, a blank line between paragraphs."""
        return "\n\n".join(filter(None, [self.title, *self.abstract, *self.body]))


class ArticleParser:
    """Articles of a stream of bytes."""

    def __init__(self, *, tables: bool = False) -> None:
        self._dropped = _DROPPED if tables else _DROPPED | _TABLES
        self._fed_bytes = 0
        self._seconds = 0.0
        self._parser = safe_expat()
        self._parser.buffer_text = True
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._characters
        self._parser.SkippedEntityHandler = self._entity
        self._articles: list[Article] = []
        self._article: Article | None = None
        self._path: list[str] = []
        self._skipped_from = 0
        self._slot, self._slot_from, self._slot_key = "", 0, ""
        self._words: list[str] = []
        self._paragraphs: list[str] = []
        self._date: dict[str, str] = {}

    def feed(self, chunk: bytes, *, last: bool = False) -> list[Article]:
        """The articles that end in ``chunk``.

        Raises:
            ExpatError: it is not XML. UnsafeXml: it declares entities. ValueError: a tag has no end, or
                elements are nested too deep.
        """
        before, started = self._article, time.monotonic()
        self._fed_bytes = feed(self._parser, chunk, self._fed_bytes)
        self._seconds = time.monotonic() - started + (self._seconds if self._article is before else 0.0)
        self._check_article()
        if last:
            self._parser.Parse(b"", True)
        articles, self._articles = self._articles, []
        return articles

    def _check_article(self) -> None:
        article = self._article
        if article is None or article.reason:
            return
        if self._parser.CurrentByteIndex - article.byte_offset > MAX_DOCUMENT_BYTES:
            article.reason = "record_too_long"
        elif self._seconds > DOCUMENT_SECONDS:
            article.reason = "too_slow"
        if article.reason:
            shown = "\n\n".join([*self._paragraphs, "".join(self._words)])
            article.body = ["\n\n".join([*article.body, shown])[:SHOWN_BYTES]]
            self._words, self._paragraphs = [], []

    @property
    def byte_offset(self) -> int:
        """How far it has read."""
        return self._parser.CurrentByteIndex

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        tag = name.rpartition(":")[2]
        self._path.append(tag)
        check_depth(len(self._path))
        if self._skipped_from:
            return
        if tag in _RECORDS and self._article is None:
            self._article = Article(self._parser.CurrentByteIndex)
        elif self._article is None:
            return
        elif tag in {"license", "license_ref"} or (self._slot == "licence" and attributes):
            self._found_licence(" ".join(attributes.values()))
            self._open(tag, attributes)
        elif tag in self._dropped or self._points_to_reference(tag, attributes):
            self._skipped_from = len(self._path)
        elif tag in _DATE_OF:
            self._date = {}
        else:
            self._open(tag, attributes)
            if tag in _BLOCKS:
                self._break()

    def _open(self, tag: str, attributes: dict[str, str]) -> None:
        if self._slot:
            return
        slot = "title" if tag == "article-title" and "title-group" in self._path else _SLOTS.get(tag, "")
        if slot:
            self._slot, self._slot_from, self._words, self._paragraphs = slot, len(self._path), [], []
            kind = "pmid" if tag == "PMID" else attributes.get("pub-id-type", attributes.get("IdType", ""))
            self._slot_key = {"pmcid": "pmc", "pubmed": "pmid"}.get(kind, kind)
        elif self._path[-2:-1] and self._path[-2] in _DATE_OF:
            self._slot, self._slot_from, self._words, self._paragraphs = "date", len(self._path), [], []
            self._slot_key = tag.lower()

    def _points_to_reference(self, tag: str, attributes: dict[str, str]) -> bool:
        return tag == "xref" and attributes.get("ref-type") in {"bibr", "fn", "table-fn"}

    def _end(self, name: str) -> None:
        tag = name.rpartition(":")[2]
        depth = len(self._path)
        self._path.pop()
        if self._skipped_from:
            if depth == self._skipped_from:
                self._skipped_from = 0
            return
        if self._article is None:
            return
        if self._slot:
            self._end_inside(tag)
            if depth == self._slot_from:
                self._close(self._article)
        if tag in _DATE_OF and (date := _iso(self._date)):
            self._article.dates.append(date)
        if tag in _RECORDS and not _RECORDS & set(self._path):
            self._articles.append(self._article)
            self._article = None

    def _end_inside(self, tag: str) -> None:
        if tag == "tex-math" and self._words:
            formula = _TEX_BODY.search(self._words[-1])
            self._words[-1] = formula[1] if formula else self._words[-1]
        elif tag in {"td", "th"}:
            self._words.append("\t")
        if tag in _BLOCKS:
            self._break()

    def _break(self) -> None:
        if text := " ".join("".join(self._words).split()):
            self._paragraphs.append(re.sub(r" ?[\[(][\s,;–-]*[\])]", "", text))
        self._words = []

    def _characters(self, text: str) -> None:
        math_beside_tex = "alternatives" in self._path and "math" in self._path
        stopped = self._article is not None and self._article.reason
        if self._slot and not self._skipped_from and not math_beside_tex and not stopped:
            self._words.append(text)

    def _entity(self, name: str, is_parameter: bool) -> None:
        if not is_parameter:
            self._characters(html.unescape(f"&{name};"))

    def _close(self, article: Article) -> None:
        self._break()
        text = " ".join(self._paragraphs)
        if self._slot == "title":
            article.title = article.title or text
        elif self._slot == "abstract":
            article.abstract += self._paragraphs
        elif self._slot == "body":
            article.body += self._paragraphs
        elif self._slot == "id":
            article.ids.setdefault(self._slot_key or "id", text)
        elif self._slot == "date":
            self._date[self._slot_key] = text
        elif self._slot == "licence":
            self._found_licence(text)
        self._slot = ""

    def _found_licence(self, stated: str) -> None:
        assert self._article is not None
        found = spdx_of(stated)
        if found and (self._article.licence is None or self._article.licence.startswith("LicenseRef")):
            self._article.licence = found


def spdx_of(stated: str) -> str | None:
    """SPDX identifier of the licence whose address or words are in ``stated``.

    Words without a version ("Creative Commons Attribution License") give a LicenseRef.
    """
    if match := _LICENCE_URL.search(stated):
        kind, name, version = match[1].lower(), match[2].lower(), match[3]
        if kind == "publicdomain":
            return "CC0-1.0" if name == "zero" else "LicenseRef-public-domain"
        return f"CC-{name.upper()}-{version}"
    return next((spdx for words, spdx in _LICENCE_NAMES if words in stated.lower()), None)


def _iso(date: dict[str, str]) -> str | None:
    year, month, day = (date.get(name, "") for name in ("year", "month", "day"))
    month = str(_MONTHS.get(month[:3].lower(), month))
    if not re.fullmatch(r"\d{4}", year):
        return None
    if not (month.isdecimal() and 1 <= int(month) <= 12):
        return year
    has_day = day.isdecimal() and 1 <= int(day) <= 31
    return f"{year}-{int(month):02}-{int(day):02}" if has_day else f"{year}-{int(month):02}"
