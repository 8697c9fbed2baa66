"""Deciding: which documents stay, which repeat which, which are held out.

Comes in: the judged rows of all sources, in reading order. Goes out: a decision a row, and the
waterfall, which counts every document that was read exactly once. Everything here is in memory,
about 550 bytes a document.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from towpath.data.config import DataConfig
from towpath.data.dedup.exact import exact_duplicates
from towpath.data.dedup.near import near_duplicates
from towpath.data.judge import HASH_BYTES, signature_length

if TYPE_CHECKING:
    import pyarrow as pa

TRAIN, VALIDATION, DROPPED = SPLITS = ("train", "validation", "dropped")
EXACT_DUPLICATE = "exact_duplicate"
NEAR_DUPLICATE = "near_duplicate"


def decide(judged: pa.Table, config: DataConfig) -> pa.Table:
    """One row for each of ``judged``: ``split``, ``reason`` and ``duplicate_of`` (an id).

    ``judged`` has the columns of ``judged_schema`` and "source". Of equal documents the earliest
    stays, sources in the order of the run file.
    """
    import pyarrow as pa

    reasons: list[str | None] = judged["reason"].to_pylist()
    original = np.arange(judged.num_rows)  # the row that each row repeats, itself if none
    for reason, find in ((EXACT_DUPLICATE, _exact), (NEAR_DUPLICATE, _near)):
        rows, first = find(judged, _undropped(reasons), config)
        for row in rows[first != rows]:
            reasons[row] = reason
        original[rows] = first
    original = original[original]  # what repeats a near duplicate repeats what that repeats
    ids = judged["id"].to_pylist()
    repeated = [ids[first] if first != row else None for row, first in enumerate(original)]
    splits = _splits(judged, _undropped(reasons), config.validation_share)
    return pa.table(
        {
            "split": pa.array(splits, pa.string()),
            "reason": pa.array(reasons, pa.string()),
            "duplicate_of": pa.array(repeated, pa.string()),
        }
    )


def _undropped(reasons: Sequence[str | None]) -> np.ndarray:
    return np.flatnonzero([reason is None for reason in reasons])


def _exact(judged: pa.Table, rows: np.ndarray, _: DataConfig) -> tuple[np.ndarray, np.ndarray]:
    hashes = judged["content_hash"].combine_chunks().take(rows)
    return rows, rows[exact_duplicates(hashes)]


def _near(judged: pa.Table, rows: np.ndarray, config: DataConfig) -> tuple[np.ndarray, np.ndarray]:
    near = config.near_duplicates
    if not near.enabled:
        return rows, rows
    column = judged["signature"].combine_chunks()
    rows = rows[column.is_valid().to_numpy(zero_copy_only=False)[rows]]  # texts without words have none
    signatures = column.take(rows).flatten().to_numpy().reshape(-1, signature_length(near))
    return rows, rows[near_duplicates(signatures, near.bands, near.min_similarity)]


def _splits(judged: pa.Table, kept: np.ndarray, share: float) -> list[str]:
    splits = np.full(judged.num_rows, DROPPED, dtype=object)
    sources = np.array(judged["source"].to_pylist(), dtype=object)
    hashes = judged["content_hash"].combine_chunks()
    for source in dict.fromkeys(sources[kept]):
        rows = kept[sources[kept] == source]
        raw = b"".join(hashes.take(rows).to_pylist())
        numbers = np.frombuffer(raw, ">u8").reshape(-1, HASH_BYTES // 8)[:, 0]
        splits[rows] = np.where(held_out(numbers, share), VALIDATION, TRAIN)
    return splits.tolist()


def held_out(hashes: np.ndarray, share: float) -> np.ndarray:
    """Which of one source's documents are held out, by their content hashes (uint64), bool a row.

    A hash below ``share`` of all hashes is, whatever else the source holds, so that adding
    documents moves none of the others; and the smallest is, so that there is always one to
    validate on. Of a single document, or of no share, nothing is held out.
    """
    if share == 0 or len(hashes) < 2:
        return np.zeros(len(hashes), dtype=bool)
    chosen = hashes < np.uint64(int(share * 2**64))
    chosen[np.argmin(hashes)] = True
    if chosen.all():
        chosen[np.argmax(hashes)] = False
    return chosen


def waterfall(judged: pa.Table, decisions: pa.Table, sources: Sequence[str]) -> dict[str, Any]:
    """What became of the documents of each of ``sources``; every document is counted once."""
    table = judged.select(["source", "characters", "licence"])
    for name in ("split", "reason"):
        table = table.append_column(name, decisions[name])
    rows: dict[str, list[dict[str, Any]]] = {source: [] for source in sources}
    for row in table.to_pylist():
        rows[row["source"]].append(row)
    return {"sources": {source: _count(rows[source]) for source in sources}}


def _count(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    splits = Counter(row["split"] for row in rows)
    characters: Counter[str] = Counter()
    for row in rows:
        characters[row["split"]] += row["characters"]
    dropped = Counter(row["reason"] for row in rows if row["reason"] is not None)
    return {
        "read": len(rows),
        "kept": splits[TRAIN] + splits[VALIDATION],
        "train": splits[TRAIN],
        "validation": splits[VALIDATION],
        "dropped": dict(sorted(dropped.items(), key=lambda item: (-item[1], item[0]))),
        "characters": {split: characters[split] for split in SPLITS},
        "licences": sorted({row["licence"] for row in rows if row["reason"] is None}),
    }
