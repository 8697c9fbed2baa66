"""Exact duplicates: rows with the same hash."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from towpath.data import engine

if TYPE_CHECKING:
    import pyarrow as pa


def exact_duplicates(hashes: pa.Array) -> np.ndarray:
    """For each row the first one with the same hash, itself if it is the first.

    Args:
        hashes: Binary, one a row.

    Returns:
        int64, one a row.
    """
    import pyarrow as pa

    first = np.arange(len(hashes))
    table = pa.table({"hash": hashes, "row": pa.array(first)})
    for members in engine.from_table(table).groups("hash", "row").to_table()["row"]:
        rows = members.values.to_numpy()
        first[rows] = rows.min()
    return first
