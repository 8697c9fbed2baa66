"""Groups of near duplicates, compiled: signatures in, the first row of each row's group out.

The Python that gives the same is ``towpath.data.dedup.near``, which is the recipe and the choice
between the two. One band is in memory at a time: keys and rows, 16 bytes a row, sorted, and
the answer, 8 bytes a row.
"""

from __future__ import annotations

import numpy as np

from towpath.core.native import library, pointer


def first_rows(
    signatures: np.ndarray, constants: np.ndarray, bands: int, min_equal: int, unlike_rows: int
) -> np.ndarray | None:
    """For each row the first one of its group, int64, (N,); None where nothing is compiled.

    Args:
        signatures: uint32, (N, W).
        constants: uint64, (W // bands,), that mix a band into one key.
        bands: of a signature.
        min_equal: places that have to be equal in rows of a group.
        unlike_rows: of one band that are compared with the others that have it.
    """
    kernel = library("towpath.data.kernels", "near")
    if kernel is None:
        return None
    signatures = np.require(signatures, np.uint32, ["C", "A"])
    sizes = np.array([*signatures.shape, bands, min_equal, unlike_rows], np.int64)
    entries = np.empty((len(signatures), 2), np.uint64)
    first = np.empty(len(signatures), np.int64)
    arrays = sizes, signatures, np.ascontiguousarray(constants), entries, first
    kernel.near_first_rows(*map(pointer, arrays))
    return first
