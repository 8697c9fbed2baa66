"""Documentation and manuals: one document a file of HTML, reStructuredText, Markdown, roff, POD or text.

The kind is told by the suffix; man pages are those of ``.1`` to ``.9``, ``.man`` and ``.mdoc``. HTML goes
through the same extraction as web pages, the others through ``towpath.data.sources.markup``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Final, Literal

from pydantic import Field

from towpath.data.document import Document, Meta, Rejected
from towpath.data.sources.archives import whole_file
from towpath.data.sources.file_source import FileSource
from towpath.data.sources.found import kind_of
from towpath.data.sources.html_text import HtmlConfig, read_page
from towpath.data.sources.limits import TookTooLong, TooLarge, time_limit
from towpath.data.sources.markup import STRIPPERS
from towpath.data.wellformed import read_utf8

MARKUPS: Final = {
    **dict.fromkeys((".md", ".markdown", ".mdx"), "markdown"),
    ".rst": "rest",
    ".pod": "pod",
    **dict.fromkeys((".htm", ".html", ".xhtml"), "html"),
    ".txt": "text",
    **dict.fromkeys((*(f".{section}" for section in range(1, 10)), ".man", ".mdoc"), "roff"),
}
"""The markup that a suffix tells."""


class DocumentationSource(FileSource):
    """Files of manuals."""

    suffixes: ClassVar = tuple(MARKUPS)

    type: Literal["documentation"] = "documentation"
    path: str
    """A file, a folder or a glob of .html, .rst, .md, .1 to .9, .man, .mdoc, .pod or .txt files, also
    compressed."""
    html: HtmlConfig = HtmlConfig()
    """How text is taken out of HTML pages."""
    max_bytes: int = Field(default=4_000_000, ge=1)
    """Larger files are rejected as "too_large"."""

    def read_file(self, path: Path, place: str) -> Iterator[Document | Rejected]:
        """The one document of a file."""
        file, markup = whole_file(path, self.max_bytes), MARKUPS[kind_of(path)]
        text, meta, reason = "", {}, file.reason
        if reason is None:
            try:
                text, meta = self._text(file.content, markup)
                reason = None if text.strip() else "no_text"
            except TooLarge:
                reason = "too_large"
            except TookTooLong:
                reason = "too_slow"
        if reason:
            yield Rejected(self.document(read_utf8(file.content), path=place, byte_offset=0), reason)
        else:
            yield self.document(text, path=place, byte_offset=0, meta={**meta, "markup": markup})

    def _text(self, raw: bytes, markup: str) -> tuple[str, Meta]:
        if markup == "html":
            page = read_page(raw, None, self.html)
            return page.text, page.meta
        text = read_utf8(raw).removeprefix("\ufeff").replace("\r\n", "\n")
        with time_limit():
            return STRIPPERS[markup](text) if markup in STRIPPERS else text, {}
