"""Folders of HTML pages, one document a file, by the same extraction as web archives."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Literal

from towpath.data.document import Document, Rejected
from towpath.data.sources.file_source import FileSource
from towpath.data.sources.html_text import HtmlConfig, decoded, read_page
from towpath.data.sources.limits import TookTooLong, TooLarge
from towpath.data.sources.streams import opened

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
        with opened(path) as stream:
            content = stream.read(self.html.max_bytes + 1)
        reason = "no_text"
        try:
            page = read_page(content, None, self.html)
        except TooLarge:
            reason = "too_large"
        except TookTooLong:
            reason = "too_slow"
        else:
            if page.text:
                yield self.document(page.text, path=place, meta=page.meta)
                return
        yield Rejected(self.document(decoded(content[:_RAW_BYTES])[0], path=place), reason)
