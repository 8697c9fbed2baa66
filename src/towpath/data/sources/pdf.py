"""PDF: the text layer of each file, one document, its lines joined to paragraphs.

pypdfium2 (PDFium) gives the text of each page in the order of the file; running heads, page
numbers and cut words go as for scanned books (``sources.page_lines``). A file without a text layer,
encrypted or damaged, is rejected. PDFium is not thread-safe: one process reads one file at a time.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from towpath.core.errors import need
from towpath.data.document import Document, Rejected
from towpath.data.sources.file_source import FileSource
from towpath.data.sources.page_lines import joined_pages

_LINE_HYPHENS = ("\x02", "\ufffe")  # what PDFium writes for a hyphen and the line end behind it
_ENCRYPTED = 4  # FPDF_ERR_PASSWORD
_MAX_META_CHARS = 500


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
    """Files that take longer are rejected; looked at after each page."""

    def read_file(self, path: Path, place: str) -> Iterator[Document | Rejected]:
        """The one document of ``path``."""
        pages, meta, reason = self._pages(path)
        text = joined_pages(pages).text if not reason else "\f".join(pages)
        document = self.document(text, path=place, byte_offset=0, meta={**meta, "n_pages": len(pages)})
        if not reason and not text:
            reason = "no_text_layer"
        yield Rejected(document, reason) if reason else document

    def _pages(self, path: Path) -> tuple[list[str], dict[str, str], str]:
        """Texts of the pages, what the file says of itself, and why it was not read to its end."""
        if path.stat().st_size > self.max_bytes:
            return [], {}, "too_large"
        pdfium = need("pypdfium2", install="towpath[pdf]", why="type = 'pdf'")
        try:
            file = pdfium.PdfDocument(path)
        except pdfium.PdfiumError as error:
            return [], {}, "encrypted" if getattr(error, "err_code", None) == _ENCRYPTED else "damaged_file"
        pages: list[str] = []
        end = time.monotonic() + self.max_seconds
        try:
            if len(file) > self.max_pages:
                return [], {}, "too_many_pages"
            stated = file.get_metadata_dict(skip_empty=True)
            meta = {
                name.lower(): stated[name][:_MAX_META_CHARS] for name in ("Title", "Author") if name in stated
            }
            for number in range(len(file)):
                text = self._page_text(file[number])
                if text is None:
                    return pages, meta, "too_large"
                pages.append(text)
                if time.monotonic() > end:
                    return pages, meta, "too_slow"
            return pages, meta, ""
        except (pdfium.PdfiumError, ValueError, OverflowError):
            return pages, {}, "damaged_file"
        finally:
            file.close()

    def _page_text(self, page: Any) -> str | None:
        text_page = page.get_textpage()
        try:
            if text_page.count_chars() > self.max_page_chars:
                return None
            text = text_page.get_text_bounded(errors="replace")
        finally:
            text_page.close()
            page.close()
        for hyphen in _LINE_HYPHENS:
            text = text.replace(hyphen, "-\n")
        return text.replace("\r\n", "\n").replace("\0", "")
