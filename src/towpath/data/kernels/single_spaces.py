"""Texts with one space in the place of each run of white space, none at the start and the end.

White space is what Python's ``str.split`` parts at.
"""

from __future__ import annotations

import numpy as np

from towpath.core.native import library, pointer
from towpath.core.texts import Texts


def single_spaces(texts: Texts) -> Texts:
    """N texts, none longer than it was."""
    kernel = library("towpath.data.kernels", "single_spaces")
    if kernel is None:
        return reference_single_spaces(texts)
    data = np.empty(int(texts.offsets[-1] - texts.offsets[0]), np.uint8)
    offsets = np.zeros(len(texts) + 1, np.int64)
    kernel.single_spaces(*texts.arguments(), pointer(data), pointer(offsets[1:]))
    return Texts(offsets, data)


def reference_single_spaces(texts: Texts) -> Texts:
    """The same in Python; texts have to be UTF-8."""
    return Texts.of_bytes(
        " ".join(texts.bytes_of(row).decode().split()).encode() for row in range(len(texts))
    )
