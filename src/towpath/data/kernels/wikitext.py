"""Wikitext to plain text by a kernel; ``sources.wikitext`` has the same in Python, its oracle.

One page at a time: two calls, between which Python resolves character references (``&eacute;``), whose
table it has.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable

import numpy as np

from towpath.core.native import library, pointer


def compiled_text(wikitext: str, names: bytes, resolved: Callable[[str], str]) -> str | None:
    """The plain text of ``wikitext``; None where nothing is compiled.

    ``names`` are the lower-case namespaces of files and categories, a line feed behind each; ``resolved``
    replaces character references.
    """
    compiled = library("towpath.data.kernels", "wikitext")
    if compiled is None:
        return None
    data = np.frombuffer(bytearray(wikitext, "utf-8", "surrogatepass"), np.uint8)
    stack = np.empty(len(data) // 2 + 1, np.int64)
    compiled.without_markup.restype = compiled.tidy_lines.restype = ctypes.c_int64
    size = compiled.without_markup(
        pointer(data), ctypes.c_int64(len(data)), names, ctypes.c_int64(len(names)), pointer(stack)
    )
    text = resolved(data[:size].tobytes().decode("utf-8", "surrogatepass"))
    data = np.frombuffer(bytearray(text, "utf-8", "surrogatepass"), np.uint8)
    out = np.empty(2 * len(data) + 16, np.uint8)
    size = compiled.tidy_lines(pointer(data), ctypes.c_int64(len(data)), pointer(out))
    return out[:size].tobytes().decode("utf-8", "surrogatepass").strip(" \t\n\r\f\v")
