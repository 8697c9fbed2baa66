"""The main text of a page of HTML: UTF-8 bytes in, lines with the page's title and metas out.

What is main content is told by rules after resiliparse's ``main_content``: elements that never hold
it, what classes, ids and other attributes say (``html_words``), and the share of links in a list or a
division. ``main_text_reference`` has the same in Python and says how. The time is linear in the page's
size, whatever is left open or nested.
"""

from __future__ import annotations

import ctypes

import numpy as np

from towpath.core.native import library, pointer
from towpath.data.kernels.html_words import table
from towpath.data.kernels.main_text_reference import MAX_METAS, Found, Reading

__all__ = ["Found", "main_text", "reference_main_text"]


def main_text(page: bytes, switches: int) -> Found:
    """What ``page`` holds; ``switches`` are those of ``main_text_reference``.

    Raises:
        MemoryError: there is no memory for its elements.
    """
    compiled = library("towpath.data.kernels", "main_text")
    if compiled is None:
        return reference_main_text(page, switches)
    keys, bits = table()
    out = np.empty(10 * len(page) + 64, np.uint8)
    found = np.empty(4 + 3 * MAX_METAS, np.int64)
    compiled.main_text.restype = ctypes.c_int64
    size = compiled.main_text(
        page,
        ctypes.c_int64(len(page)),
        switches,
        pointer(keys),
        pointer(bits),
        ctypes.c_uint64(len(keys) - 1),
        pointer(found),
        pointer(out),
    )
    if size < 0:
        raise MemoryError(f"There is no memory for the elements of a page of {len(page):,} bytes.")
    title_start, title_end, hides, n_metas = found[:4].tolist()
    metas = [
        (kind, page[start:end]) for kind, start, end in found[4 : 4 + 3 * n_metas].reshape(-1, 3).tolist()
    ]
    return Found(
        out[:size].tobytes(), page[title_start:title_end] if title_start >= 0 else b"", metas, bool(hides)
    )


def reference_main_text(page: bytes, switches: int) -> Found:
    """The same in Python."""
    return Reading(page, switches).found()
