"""Exact duplicates: rows with the same hash."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa


def exact_duplicates(hashes: pa.Array) -> np.ndarray:
    """For each row the first one with the same hash, itself if it is the first.

    Args:
        hashes: Binary of 16 bytes, one a row, without nulls.

    Returns:
        int64, one a row.
    """
    import pyarrow as pa

    fixed = hashes.cast(pa.binary(16))
    halves = np.frombuffer(fixed.buffers()[1] or b"", np.uint64).reshape(-1, 2)
    halves = halves[fixed.offset : fixed.offset + len(fixed)]
    order = np.lexsort((halves[:, 1], halves[:, 0]))  # stable: of equal hashes the first row comes first
    ordered = halves[order]
    new = np.ones(len(order), dtype=bool)
    new[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    first = np.empty(len(order), np.int64)
    first[order] = order[np.flatnonzero(new)][np.cumsum(new) - 1]
    return first
