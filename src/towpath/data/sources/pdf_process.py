"""A program of its own that reads PDFs with PDFium, so that a hostile file ends it and not the run.

A line of JSON with "path" and limits comes in on standard input; out goes a line a page ({"page": text})
and a last one ({"end": reason or "", "meta": …}). Memory is limited by RLIMIT_AS where there is one; time is
the caller's to watch. Imports nothing of this package: it is started by its path.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator
from typing import Any

MEMORY_BYTES = 512 << 20
_ENCRYPTED = 4  # FPDF_ERR_PASSWORD
_MAX_META_CHARS = 500


def main() -> None:
    """Answer requests until standard input ends."""
    import pypdfium2 as pdfium

    _limit_memory()
    for line in sys.stdin:
        for answer in answers(pdfium, json.loads(line)):
            sys.stdout.write(json.dumps(answer) + "\n")
            sys.stdout.flush()


def _limit_memory() -> None:
    with contextlib.suppress(ImportError, OSError, ValueError):  # Windows has no such module
        import resource

        with open("/proc/self/statm") as file:  # noqa: PTH123
            used = int(file.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY_BYTES, used + MEMORY_BYTES))


def answers(pdfium: Any, asked: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """What one request is answered with."""
    try:
        file = pdfium.PdfDocument(asked["path"])
    except pdfium.PdfiumError as error:
        is_encrypted = getattr(error, "err_code", None) == _ENCRYPTED
        yield {"end": "encrypted" if is_encrypted else "damaged_file", "meta": {}}
        return
    except OSError:
        yield {"end": "damaged_file", "meta": {}}
        return
    meta: dict[str, str] = {}
    reason = ""
    try:
        if len(file) > asked["max_pages"]:
            reason = "too_many_pages"
        else:
            meta = _meta(file)
            for number in range(len(file)):
                text = _page_text(file[number], asked["max_page_chars"])
                if text is None:
                    reason = "too_large"
                    break
                yield {"page": text}
    except (pdfium.PdfiumError, ValueError, OverflowError):
        meta, reason = {}, "damaged_file"
    except MemoryError:
        meta, reason = {}, "too_large"
    finally:
        file.close()
    yield {"end": reason, "meta": meta}


def _meta(file: Any) -> dict[str, str]:
    stated = file.get_metadata_dict(skip_empty=True)
    return {name.lower(): stated[name][:_MAX_META_CHARS] for name in ("Title", "Author") if name in stated}


def _page_text(page: Any, max_chars: int) -> str | None:
    text_page = page.get_textpage()
    try:
        if text_page.count_chars() > max_chars:
            return None
        return text_page.get_text_bounded(errors="replace")
    finally:
        text_page.close()
        page.close()


if __name__ == "__main__":
    main()
