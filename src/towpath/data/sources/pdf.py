"""PDF: the text layer of each file, one document, its lines joined to paragraphs.

pypdfium2 (PDFium) gives the text of each page in the order of the file; running heads, page
numbers and cut words go as for scanned books (``sources.page_lines``). A file without a text layer,
encrypted or damaged, is rejected. PDFium runs in a process of its own (``sources.pdf_reader``), which has
512 MB and two seconds a page; what it can't read within them is rejected.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from towpath.data.document import Document, Rejected
from towpath.data.sources.archives import whole_file
from towpath.data.sources.file_source import FileSource
from towpath.data.sources.limits import (
    DOCUMENT_SECONDS,
    MAX_DOCUMENT_BYTES,
    TookTooLong,
    TooLarge,
    time_limit,
)
from towpath.data.sources.page_lines import joined_pages
from towpath.data.sources.pdf_reader import read_answers
from towpath.data.sources.streams import COMPRESSIONS

_LINE_HYPHENS = ("\x02", "\ufffe")  # what PDFium writes for a hyphen and the line end behind it


class PdfSource(FileSource):
    """PDF files."""

    suffixes: ClassVar = (".pdf",)

    type: Literal["pdf"] = "pdf"
    category: str = "academic"
    """What the mixture counts it as."""
    max_bytes: int = Field(default=100_000_000, ge=1)
    """Larger files are rejected."""
    max_pages: int = Field(default=2_000, ge=1)
    """Files with more pages are rejected."""
    max_page_chars: int = Field(default=200_000, ge=1)
    """Files with more characters on a page are rejected."""
    max_seconds: float = Field(default=30.0, gt=0)
    """Files that take longer are rejected: some hundred pages need more than the two seconds of one."""

    def read_file(self, path: Path, place: str) -> Iterator[Document | Rejected]:
        """The one document of ``path``."""
        pages, meta, reason = self._pages(path)
        text = "\f".join(pages)
        if not reason:
            try:
                with time_limit():
                    text = joined_pages(pages).text
            except TookTooLong:
                reason = "too_slow"
        document = self.document(text, path=place, byte_offset=0, meta={**meta, "n_pages": len(pages)})
        if not reason and not text:
            reason = "no_text_layer"
        yield Rejected(document, reason) if reason else document

    def _pages(self, path: Path) -> tuple[list[str], dict[str, str], str]:
        """Texts of the pages, what the file says of itself, and why it was not read to its end."""
        if path.stat().st_size > self.max_bytes:
            return [], {}, "too_large"
        if path.suffix not in COMPRESSIONS:
            return self._pages_of_plain(path)
        file = whole_file(path, self.max_bytes)
        if file.reason:
            return [], {}, file.reason
        with tempfile.TemporaryDirectory() as folder:
            plain = Path(folder, "a.pdf")
            plain.write_bytes(file.content)
            return self._pages_of_plain(plain)

    def _pages_of_plain(self, path: Path) -> tuple[list[str], dict[str, str], str]:
        asked = {
            "path": str(path.resolve()),
            "max_pages": self.max_pages,
            "max_page_chars": self.max_page_chars,
        }
        pages: list[str] = []
        n_chars = 0
        with closing(read_answers(asked, DOCUMENT_SECONDS, self.max_seconds)) as answers:
            try:
                for answer in answers:
                    if "end" in answer:
                        return pages, answer["meta"], answer["end"]
                    pages.append(_plain(answer["page"]))
                    n_chars += len(pages[-1])
                    if n_chars > MAX_DOCUMENT_BYTES:
                        return pages, {}, "too_large"
            except TookTooLong:
                return pages, {}, "too_slow"
            except TooLarge:
                return pages, {}, "too_large"
        return pages, {}, "damaged_file"


def _plain(text: str) -> str:
    for hyphen in _LINE_HYPHENS:
        text = text.replace(hyphen, "-\n")
    return text.replace("\r\n", "\n").replace("\0", "")
