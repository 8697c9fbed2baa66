"""Decontaminating: documents that overlap an evaluation set are dropped, or the overlap is cut out.

Comes in: verdicts, records and the evaluation sets. Goes out: the verdicts with more dropped or cut, and
the report for each task. The text of kept records is read once, part by part, side by side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from towpath.core.progress import progress
from towpath.core.texts import Texts
from towpath.data import engine
from towpath.data.config import DataConfig
from towpath.data.cutting import Cut
from towpath.data.dedup.decontamination import Contamination, Evaluation, merged
from towpath.data.evaluation_sets import EvaluationSet
from towpath.data.groups import Group, groups_of
from towpath.data.kernels.ngram_overlap import ROW, RUN, START, STOP, Records, overlaps
from towpath.data.parts import read_table, write_table
from towpath.data.verdicts import Annotated, Cause, Verdicts

if TYPE_CHECKING:
    import pyarrow as pa

CONTAMINATED = "contaminated"
_RECORDS = "evaluation.parquet"


@dataclass(frozen=True)
class Task:
    """Some parts, and what is looked for in them."""

    group: Group
    alive: np.ndarray
    """bool, (N,): which of their rows are searched."""
    evaluation: Path


@dataclass(frozen=True)
class Shared:
    """What some records share with evaluation sets."""

    pairs: np.ndarray
    """int64, (M, 2): row and run."""
    cuts: list[Cut]
    """Of each of these rows what would be cut."""
    chats: list[int]
    """Those of the rows that are chats."""


def drop_contaminated(
    found: Verdicts, sources: Sequence[Annotated], config: DataConfig, work: Path
) -> dict[str, Any]:
    """Drop or cut what overlaps a record of ``config.decontaminate``; returns the report."""
    path = work / _RECORDS
    evaluation = _evaluation(config.decontaminate)
    _write_records(evaluation.records, path)
    shared = _search_all(found, sources, config, path)
    pairs = np.concatenate([np.zeros((0, 2), np.int64), *(item.pairs for item in shared)])
    contamination = Contamination(evaluation, pairs)
    overlapping = [contamination.texts_of(task) for task in range(len(config.decontaminate))]
    dropped = _dropped(found, shared, overlapping, config)
    found.drop(dropped, Cause("decontamination", CONTAMINATED))
    _cut(found, shared)
    path.unlink()
    reports = [
        _report(number, asked, contamination, found) for number, asked in enumerate(config.decontaminate)
    ]
    return {"tasks": reports}


def _evaluation(sets: Sequence[EvaluationSet]) -> Evaluation:
    import pyarrow as pa

    records = [(number, record) for number, asked in enumerate(sets) for record in asked.records()]
    tasks = np.array([number for number, _ in records], np.int64)
    most = np.array([asked.words for asked in sets], np.int64)[tasks]
    least = np.array([asked.min_words for asked in sets], np.int64)[tasks]
    texts = Texts.of(pa.array([record.text for _, record in records], pa.large_string()))
    return Evaluation(Records(texts, most, least), [record.id for _, record in records], tasks)


def _write_records(records: Records, path: Path) -> None:
    import pyarrow as pa

    texts = [records.texts.bytes_of(row).decode() for row in range(len(records.texts))]
    columns = {"most_words": records.most_words, "least_words": records.least_words}
    write_table(path, pa.table({"text": pa.array(texts, pa.large_string()), **columns}))


def _read_records(path: Path) -> Records:
    table = read_table(path).combine_chunks()
    most, least = (np.array(table[name].to_numpy(), np.int64) for name in ("most_words", "least_words"))
    return Records(Texts.of(table["text"]), most, least)


def _search_all(
    found: Verdicts, sources: Sequence[Annotated], config: DataConfig, evaluation: Path
) -> list[Shared]:
    alive = found.codes < 0
    tasks = [
        Task(group, alive[group.start : group.start + group.n_rows], evaluation)
        for group in groups_of(sources, config.part_bytes)
    ]
    shared = []
    with progress("decontaminating", total=len(found.codes), unit="documents") as bar:
        for task, part in zip(tasks, engine.each(_search, tasks), strict=True):
            shared.append(part)
            bar.advance(len(task.alive))
    return shared


def _search(task: Task) -> Shared:
    import pyarrow as pa

    folder = task.group.source.records.path
    tables = [read_table(folder / part.name, ["text", "domain"]) for part in task.group.parts]
    table = pa.concat_tables(tables).filter(pa.array(task.alive))
    texts = Texts.of(table["text"])
    hits = overlaps(_read_records(task.evaluation), texts).hits
    rows = np.flatnonzero(task.alive) + task.group.start
    pairs = np.unique(np.column_stack([rows[hits[:, ROW]], hits[:, RUN]]), axis=0)
    places = np.unique(hits[:, ROW])
    of_place = np.split(hits, np.searchsorted(hits[:, ROW], places[1:])) if len(places) else []
    cuts = [
        _cut_of(int(rows[place]), texts.bytes_of(place), found)
        for place, found in zip(places, of_place, strict=True)
    ]
    chats = rows[places[table["domain"].take(pa.array(places)).to_numpy() == "chat"]]
    return Shared(pairs, cuts, chats.tolist())


def _cut_of(row: int, text: bytes, hits: np.ndarray) -> Cut:
    spans = merged(hits[:, START : STOP + 1])
    return Cut(row, spans, sum(len(text[low:high].decode()) for low, high in spans))


def _dropped(
    found: Verdicts, shared: Sequence[Shared], overlapping: Sequence[np.ndarray], config: DataConfig
) -> np.ndarray:
    """The rows that go as a whole."""
    rest = found.characters()
    rows = [np.zeros(0, np.int64)]
    for asked, texts in zip(config.decontaminate, overlapping, strict=True):
        if asked.action == "drop":
            rows.append(texts)
    for part in shared:
        short = [
            cut.row for cut in part.cuts if rest[cut.row] - cut.n_chars < config.substrings.min_rest_chars
        ]
        rows += [np.array(part.chats, np.int64), np.array(short, np.int64)]
    return np.unique(np.concatenate(rows))


def _cut(found: Verdicts, shared: Sequence[Shared]) -> None:
    characters = found.characters()
    for cut in (cut for part in shared for cut in part.cuts if found.codes[cut.row] < 0):
        found.cuts[cut.row] = cut.spans
        characters[cut.row] -= cut.n_chars
    found.set_characters(characters)


def _report(
    number: int, asked: EvaluationSet, contamination: Contamination, found: Verdicts
) -> dict[str, Any]:
    texts = contamination.texts_of(number)
    dropped = int((found.codes[texts] >= 0).sum())
    examples = contamination.examples(number, asked.max_examples)
    ids: pa.ChunkedArray = found.facts["id"]
    return {
        "task": asked.task,
        **contamination.counts(number),
        "documents": len(texts),
        "documents_dropped": dropped,
        "documents_cut": len(texts) - dropped,
        "examples": [{"document": ids[item.pop("text")].as_py(), **item} for item in examples],
    }
