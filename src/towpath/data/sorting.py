"""Sorting out: each part of records, by what was decided, into the files of the result.

train, validation, dropped   <split>/<source>/part-….parquet   the documents; dropped ones with their reason
index                        index/<source>/part-….parquet     id, hash, signature and language of kept ones
                             index/<source>/part-….fingerprints of their texts as they are kept, if asked for
quarantine                   quarantine.jsonl                  a line for each record that could not be read

The index is what later data sets are compared with, so that this one's text is not read again.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from towpath.core.artifacts import Draft
from towpath.core.files import disk_full_explained, fsync_path, write_durably
from towpath.core.progress import progress
from towpath.core.texts import Texts
from towpath.data import engine
from towpath.data.config import DataConfig, SubstringsConfig
from towpath.data.cutting import cut
from towpath.data.earlier_text import SUFFIX, content_of
from towpath.data.groups import Group, groups_of
from towpath.data.parts import document_schema, keep_bytes, keep_part, read_table
from towpath.data.reading import Part
from towpath.data.rules import CONTENT_HASH, SIGNATURE
from towpath.data.verdicts import DROPPED, REMOVED, SPLITS, Annotated

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

INDEX_FOLDER = "index"
LANGUAGE = "language"
"""Column of the filter "language"; it goes into the index for the statistics."""
QUARANTINE = "quarantine.jsonl"


@dataclass(frozen=True)
class Task:
    """Some parts, what was decided of their rows, and where it all goes."""

    group: Group
    decided: pa.Table
    draft: Draft
    substrings: SubstringsConfig
    work: Path


def sort_out(
    draft: Draft, sources: Sequence[Annotated], decisions: pa.Table, config: DataConfig, work: Path
) -> None:
    """Fill ``draft`` with the documents of ``sources`` as ``decisions`` says, a row each in their order."""
    tasks = []
    for group in groups_of(sources, config.part_bytes):
        decided = decisions.slice(group.start, group.n_rows).combine_chunks()
        tasks.append(Task(group, decided, draft, config.substrings, work))
    with progress("writing documents", total=decisions.num_rows, unit="documents") as bar:
        for task, _ in zip(tasks, engine.each(_sort_parts, tasks), strict=True):
            bar.advance(task.decided.num_rows)
    _join_quarantine(draft.path / QUARANTINE, tasks)


def _sort_parts(task: Task) -> None:
    start = 0
    for part in task.group.parts:
        _sort_part(task, part, task.decided.slice(start, part.rows))
        start += part.rows


def _sort_part(task: Task, part: Part, decided: pa.Table) -> None:
    draft, source = task.draft, task.group.source
    records = read_table(source.records.path / part.name)
    present = decided["split"].unique().to_pylist()
    for split in SPLITS:
        if split in present:
            path = draft.path / split / source.name / part.name
            keep_part(draft, path, partial(_chosen, records, decided, split))
    if set(present) != {DROPPED}:
        path = draft.path / INDEX_FOLDER / source.name / part.name
        keep_part(draft, path, partial(_indexed, source.features.path / part.name, records["id"], decided))
        if task.substrings.indexed:
            make = partial(_fingerprinted, records["text"], decided, task.substrings.min_bytes)
            keep_bytes(draft, path.with_suffix(SUFFIX), make)
    _write_quarantine(_quarantine_path(task, part), records, source.name)


def _chosen(records: pa.Table, decided: pa.Table, split: str) -> pa.Table:
    """The documents of a part that belong to ``split``."""
    table = records.select(document_schema().names)
    if split == DROPPED:
        for name in ("reason", "duplicate_of"):
            table = table.append_column(name, decided[name])
    else:
        table = table.set_column(1, "text", _after_cuts(table["text"], decided))
    chosen = decided["split"].to_numpy() == split
    return _where(table, chosen & (decided["reason"].to_numpy() != REMOVED))


def _after_cuts(texts: pa.ChunkedArray, decided: pa.Table) -> pa.ChunkedArray | pa.Array:
    return cut(texts, decided["cuts"]) if decided["cuts"].null_count < decided.num_rows else texts


def _fingerprinted(texts: pa.ChunkedArray, decided: pa.Table, min_bytes: int) -> bytes:
    import pyarrow as pa

    kept = pa.array(decided["split"].to_numpy() != DROPPED)
    return content_of(Texts.of(_after_cuts(texts, decided).filter(kept)), min_bytes)


def _indexed(features: Path, ids: pa.ChunkedArray, decided: pa.Table) -> pa.Table:
    import pyarrow.parquet as pq

    names = [name for name in (CONTENT_HASH, SIGNATURE, LANGUAGE) if name in pq.read_schema(features).names]
    table = read_table(features, names).add_column(0, "id", ids)
    return _where(table, decided["split"].to_numpy() != DROPPED)


def _where(table: pa.Table, chosen: np.ndarray) -> pa.Table:
    import pyarrow as pa

    return table.filter(pa.array(chosen)).combine_chunks()


def _quarantine_path(task: Task, part: Part) -> Path:
    return task.work / "quarantine" / task.group.source.name / f"{Path(part.name).stem}.jsonl"


def _write_quarantine(path: Path, records: pa.Table, source: str) -> None:
    columns = ["path", "url", "byte_offset", "raw_sha256", "raw_bytes", "reason"]
    rejected = records.select(columns).filter(records["reason"].is_valid())
    if not rejected.num_rows:
        return
    lines = []
    for row in rejected.to_pylist():
        named = {"sha256": row["raw_sha256"], "n_bytes": row["raw_bytes"], "reason": row["reason"]}
        place = {name: row[name] for name in ("path", "url", "byte_offset")}
        lines.append(json.dumps({"source": source, **place, **named}, ensure_ascii=False) + "\n")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_durably(path, "".join(lines).encode())


def _join_quarantine(path: Path, tasks: Sequence[Task]) -> None:
    with disk_full_explained(path), path.open("wb") as file:
        for task in tasks:
            for part in task.group.parts:
                lines = _quarantine_path(task, part)
                if lines.exists():
                    file.write(lines.read_bytes())
    fsync_path(path)
