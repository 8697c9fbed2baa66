"""Annotating: a row of numbers for each record, computed once and kept beside the text.

Comes in: an artifact of records. Goes out: an artifact of kind "features" with parts of the same names
and rows. Columns: those of the feature sets that the filters need, ``characters``, ``content_hash``
(128 bits, equal for exact duplicates) and ``signature`` (MinHash, as bytes of uint32). They are null
for records that were malformed or rejected. Thresholds are no part of this, so they may change.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from towpath.core.artifacts import Artifact, Draft, Store
from towpath.core.config import identity
from towpath.core.errors import DataError
from towpath.core.progress import progress
from towpath.data import engine
from towpath.data.config import DataConfig, NearDuplicatesConfig
from towpath.data.features import FeatureSet
from towpath.data.hashing import content_hashes, signatures
from towpath.data.parts import document_schema, keep_part, read_table
from towpath.data.reading import Part, grouped, parts_of
from towpath.data.rules import CHARACTERS, CONTENT_HASH, SIGNATURE, feature_sets

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa

KIND = "features"


@dataclass(frozen=True)
class Plan:
    """What is computed of each record."""

    sets: tuple[FeatureSet, ...]
    shingle_words: int
    n_hashes: int
    """In a signature; 0 for none."""

    @classmethod
    def of(cls, config: DataConfig) -> Plan:
        """What the settings of the data room ask for."""
        near = config.near_duplicates
        sets = sorted(feature_sets(config.filters), key=lambda found: repr(_meaning(found)))
        return cls(tuple(sets), near.shingle_words, signature_length(near) if near.enabled else 0)

    def meaning(self) -> dict[str, Any]:
        """What the columns depend on beside the records."""
        signature = {"shingle_words": self.shingle_words, "hashes": self.n_hashes}
        return {
            "sets": [_meaning(found) for found in self.sets],
            "signature": signature if self.n_hashes else None,
        }


@dataclass(frozen=True)
class Task:
    """Parts that one worker annotates."""

    records: Path
    parts: tuple[Part, ...]
    plan: Plan
    draft: Draft


def _meaning(found: FeatureSet) -> dict[str, Any]:
    return {"set": type(found).__name__, **identity(found)}


def signature_length(near: NearDuplicatesConfig) -> int:
    """Hashes in a signature."""
    return near.bands * near.hashes_per_band


def make_features(store: Store, records: Artifact, plan: Plan, part_bytes: int) -> Artifact:
    """The columns of ``plan`` for every one of ``records``; a task is about ``part_bytes`` of text."""
    write = partial(_write, records=records, plan=plan, part_bytes=part_bytes)
    return store.make(KIND, records.name, plan.meaning(), [records], write)


def _write(draft: Draft, records: Artifact, plan: Plan, part_bytes: int) -> None:
    tasks = [Task(records.path, group, plan, draft) for group in grouped(parts_of(records), part_bytes)]
    with progress(f"annotating {records.name}", records.counts["records"], "documents") as bar:
        for task, _ in zip(tasks, engine.each(_annotate_parts, tasks), strict=True):
            bar.advance(sum(part.rows for part in task.parts))
    draft.counts["records"] = records.counts["records"]
    draft.licences = list(records.licences)


def _annotate_parts(task: Task) -> None:
    for part in task.parts:
        path = task.draft.path / part.name
        keep_part(task.draft, path, partial(_annotate_part, task.records / part.name, task.plan))


def _annotate_part(path: Path, plan: Plan) -> pa.Table:
    import pyarrow as pa

    table = read_table(path, [*document_schema().names, "reason"])
    sound = table["reason"].is_null().to_numpy()
    if sound.all():
        return annotate(table.select(document_schema().names), plan)
    rows = np.where(sound, np.cumsum(sound) - 1, -1)
    found = annotate(table.select(document_schema().names).filter(pa.array(sound)), plan)
    return found.take(pa.array(rows, mask=~sound))


def annotate(documents: pa.Table, plan: Plan) -> pa.Table:
    """The columns of ``plan`` for ``documents``, which has those of ``document_schema``."""
    import pyarrow as pa
    import pyarrow.compute as pc

    texts = documents["text"].combine_chunks()
    columns: dict[str, pa.ChunkedArray | pa.Array] = {
        CHARACTERS: pc.call_function("utf8_length", [texts]).cast(pa.int64()),
        CONTENT_HASH: content_hashes(texts),
    }
    if plan.n_hashes:
        columns[SIGNATURE] = signatures(texts, plan.n_hashes, plan.shingle_words)
    for found in plan.sets:
        computed = _computed(found, documents)
        columns |= {name: computed[name] for name in computed.column_names}
    return pa.table(columns)


def _computed(found: FeatureSet, documents: pa.Table) -> pa.Table:
    computed = found.compute(documents)
    if computed.num_rows != documents.num_rows or computed.column_names != found.columns().names:
        raise DataError(
            f"{type(found).__name__}.compute gave {computed.num_rows} rows of {computed.column_names} for "
            f"{documents.num_rows} documents; expected a row each of {found.columns().names}."
        )
    return computed.cast(found.columns())
