"""Near duplicates by MinHash and locality-sensitive hashing.

Rows whose signatures agree in a whole band become candidates (Leskovec, Rajaraman and Ullman,
Mining of Massive Datasets, 3.4). Deviation from the usual recipe, which joins all candidates: a
pair is joined only when its signatures agree in enough hashes, so that rows which are unlike each
other are not chained together by chance.

On one machine a compiled kernel does the same; on Ray, groups are found by the cluster.

N rows, B bands, H hashes in a band.
"""

from __future__ import annotations

import numpy as np

from towpath.data import engine
from towpath.data.kernels import near as kernel

_ROWS_AT_A_TIME = 1 << 16
_UNLIKE_ROWS = 128  # 100,000 rows with one band in common and nothing else take 4 s, by the kernel 0.5 s
_SEED = 20_231  # of the constants that mix a band into one key


def near_duplicates(signatures: np.ndarray, bands: int, min_similarity: float) -> np.ndarray:
    """For each row the first one of its group of near duplicates, itself if it is the first.

    One band is in memory at a time, 24 bytes a row; ``signatures`` may be a file that is mapped.

    Args:
        signatures: uint32, (N, B * H).
        bands: B.
        min_similarity: share of equal hashes from which two candidates are joined.

    Returns:
        int64, (N,).
    """
    if not engine.on_ray():
        constants = _constants(signatures.shape[1] // bands)
        min_equal = least_equal(signatures.shape[1], min_similarity)
        first = kernel.first_rows(signatures, constants, bands, min_equal, _UNLIKE_ROWS)
        if first is not None:
            return first
    return reference_near_duplicates(signatures, bands, min_similarity)


def reference_near_duplicates(signatures: np.ndarray, bands: int, min_similarity: float) -> np.ndarray:
    """``near_duplicates`` in Python over the engine's groups."""
    groups = Groups(len(signatures))
    for band in range(bands):
        for members in engine.groups(_keys_of_band(signatures, band, bands)):
            if not groups.are_one(members):
                join_alike(members, signatures, min_similarity, groups)
    return groups.first()


def least_equal(n_hashes: int, min_similarity: float) -> int:
    """The least number of equal hashes of which the share is ``min_similarity``; one too many if none is."""
    return int(np.searchsorted(np.arange(n_hashes + 1) / n_hashes, min_similarity))


def _keys_of_band(signatures: np.ndarray, band: int, bands: int) -> np.ndarray:
    """One uint64 a row, (N,), equal where the band is."""
    width = signatures.shape[1] // bands
    columns = slice(band * width, (band + 1) * width)
    starts = range(0, len(signatures), _ROWS_AT_A_TIME)
    blocks = [band_keys(signatures[start : start + _ROWS_AT_A_TIME, columns], 1)[:, 0] for start in starts]
    return np.concatenate([np.zeros(0, np.uint64), *blocks])


def band_keys(signatures: np.ndarray, bands: int) -> np.ndarray:
    """One uint64 for each band of each row, (N, B), equal where the bands are equal.

    Different bands share a key about once in 2**64 pairs; the signatures tell them apart later.
    """
    per_band = signatures.reshape(len(signatures), bands, -1).astype(np.uint64)  # (N, B, H)
    keys = (per_band * _constants(bands, per_band.shape[2])).sum(
        axis=2, dtype=np.uint64
    )  # wraps around on purpose
    keys ^= keys >> np.uint64(32)
    return keys * np.uint64(0x9E3779B97F4A7C15)


def _constants(*shape: int) -> np.ndarray:
    return np.random.default_rng(_SEED).integers(0, 2**64, shape, np.uint64) | np.uint64(1)


def join_alike(members: np.ndarray, signatures: np.ndarray, min_similarity: float, groups: Groups) -> None:
    """Join the first of ``members`` with those like it, then the first of the others, and so on.

    Rows that share a band and are unlike each other come of a template; after so many of them in one
    group the rest is left to the other bands, so that a template takes time in proportion to its copies.
    """
    for _ in range(_UNLIKE_ROWS):
        if len(members) < 2:
            return
        leader, others = members[0], members[1:]
        similarity = (signatures[others] == signatures[leader]).mean(axis=1)
        for member in others[similarity >= min_similarity]:
            groups.join(int(leader), int(member))
        members = others[similarity < min_similarity]


class Groups:
    """Disjoint sets of rows (union-find); a set is known by its first row."""

    def __init__(self, n_rows: int) -> None:
        self._parent = list(range(n_rows))

    def join(self, left: int, right: int) -> None:
        """Make one set of two."""
        low, high = sorted((self._find(left), self._find(right)))
        self._parent[high] = low

    def are_one(self, members: np.ndarray) -> bool:
        """Whether all of ``members`` are in one set."""
        root = self._find(int(members[0]))
        return all(self._find(int(member)) == root for member in members[1:])

    def first(self) -> np.ndarray:
        """The first row of each row's set."""
        return np.array([self._find(row) for row in range(len(self._parent))], dtype=np.int64)

    def _find(self, row: int) -> int:
        while self._parent[row] != row:
            self._parent[row] = self._parent[self._parent[row]]
            row = self._parent[row]
        return row
