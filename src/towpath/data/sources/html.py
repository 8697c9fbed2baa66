"""Folders of HTML pages, one document a file, by the same extraction as web archives."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Literal

from towpath.data.document import Document, Rejected
from towpath.data.sources.archives import whole_file
from towpath.data.sources.file_source import FileSource
from towpath.data.sources.html_text import HtmlConfig, decoded, read_page
from towpath.data.sources.limits import TookTooLong, TooLarge

_RAW_BYTES = 20_000


class HtmlSource(FileSource):
    """Pages saved as files."""

    suffixes: ClassVar = (".html", ".htm", ".xhtml")

    type: Literal["html"] = "html"
    path: str
    """A page (.html, .htm, .xhtml, also compressed), a folder or a glob of them."""
    html: HtmlConfig = HtmlConfig()
    """How text is taken out of pages."""

    def read_file(self, path: Path, place: str) -> Iterator[Document | Rejected]:
        """The page ``path``.

        Raises:
            DataError: the file can't be opened or decompressed.
        """
        file = whole_file(path, self.html.max_bytes)
        reason = file.reason
        if reason is None:
            try:
                page = read_page(file.content, None, self.html)
            except TooLarge:
                reason = "too_large"
            except TookTooLong:
                reason = "too_slow"
            else:
                if page.text:
                    yield self.document(page.text, path=place, meta=page.meta)
                    return
        raw = decoded(file.content[:_RAW_BYTES])[0]
        yield Rejected(self.document(raw, path=place), reason or "no_text")
