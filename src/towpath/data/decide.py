"""Deciding: which documents stay, which repeat which, which are held out.

Comes in: records and features of all sources, a few narrow columns at a time, never text. Goes out: a
decision for each record, and the waterfall, which counts every one of them exactly once.

Held in memory for each record: its id, licence, size, hash and reason, about 90 bytes, and as much again
while they are put together. Signatures lie in a file that is mapped: one million of them took 104 MB
beside the mapped pages, which the system takes back when it needs them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from towpath.core.artifacts import Artifact
from towpath.core.errors import DataError
from towpath.data import engine
from towpath.data.config import DataConfig
from towpath.data.cutting import Cut, Spans
from towpath.data.decontaminating import drop_contaminated
from towpath.data.groups import Group, groups_of
from towpath.data.parts import read_table
from towpath.data.repeats import Index, cut_earlier, cut_repeats, drop_exact, drop_near
from towpath.data.rules import CHARACTERS, CONTENT_HASH, OF_RECORDS, SIGNATURE, first_rule, steps_of
from towpath.data.verdicts import (
    DROPPED,
    READING,
    REMOVED,
    SPLITS,
    TRAIN,
    VALIDATION,
    Annotated,
    Cause,
    Verdicts,
)

if TYPE_CHECKING:
    import pyarrow as pa

    from towpath.data.filters import FilterConfig

EMPTY = "empty"
_ENOUGH_TO_JUDGE_A_STEP = 1_000
_ENOUGH_TO_JUDGE_A_SOURCE = 20


def decide(
    sources: Sequence[Annotated],
    config: DataConfig,
    earlier: Sequence[Artifact],
    work: Path,
    removed: Sequence[str] = (),
) -> tuple[pa.Table, dict[str, Any], dict[str, Any] | None]:
    """A row for each record of ``sources``, in order: ``split``, ``reason``, ``duplicate_of`` (an id).

    Of equal documents the earliest stays, sources in the order of the run file; what repeats a document
    of ``earlier`` goes, and so do the ids ``removed``. Second comes the waterfall, third the report of
    what overlaps evaluation sets, None without any. ``work`` is a folder for what is too large to be held.

    Raises:
        DataError: nothing stays, a step takes more than ``config.max_drop_share`` of what reaches it, or
            filters take all of one source.
    """
    found = _by_rules(sources, config)
    if removed:
        found.drop(np.flatnonzero(_are_in(found.facts["id"], removed)), Cause(REMOVED, REMOVED))
    _check_shares(found, config.max_drop_share)
    if config.max_drop_share < 1:
        _check_sources(found)
    index = Index(earlier)
    drop_exact(found, index)
    _check_shares(found, config.max_drop_share)
    if config.near_duplicates.enabled:
        drop_near(found, sources, config, index, work)
        _check_shares(found, config.max_drop_share)
    contamination = None
    if config.decontaminate:
        contamination = drop_contaminated(found, sources, config, work)
        _check_shares(found, config.max_drop_share)
    if config.substrings.enabled:
        before: dict[int, Cut] = {}
        if earlier and config.substrings.of_earlier:
            before = cut_earlier(found, sources, config, earlier, work)
            _check_shares(found, config.max_drop_share)
        cut_repeats(found, sources, config.substrings, work, before)
        _check_shares(found, config.max_drop_share)
    if not len(found.alive()):
        raise DataError(_all_dropped(found))
    own = found.first >= 0
    found.first[own] = found.first[
        found.first[own]
    ]  # what repeats a near duplicate repeats what that repeats
    splits = _splits(found, config.validation_share)
    return _decisions(found, splits, index), waterfall(found, splits), contamination


def _by_rules(sources: Sequence[Annotated], config: DataConfig) -> Verdicts:
    """What reading and the filters drop."""
    import pyarrow as pa

    rules = [Cause(step.name, reason) for step in steps_of(config.filters) for reason in step.reasons]
    causes = [Cause(EMPTY, EMPTY), *rules]
    narrow = partial(_narrow_rows, filters=config.filters, keep_by=config.keep_by)
    tables = list(engine.each(narrow, list(groups_of(sources, config.part_bytes))))
    table = pa.concat_tables(tables)
    rejected = table["reason"].combine_chunks().dictionary_encode()
    codes = table["rule"].to_numpy() + np.int16(1)  # the rules stand after emptiness
    codes = np.where(codes > 0, codes, np.int16(-1))
    codes[table[CHARACTERS].combine_chunks().fill_null(1).to_numpy() == 0] = 0
    of_reading = rejected.is_valid().to_numpy(zero_copy_only=False)
    codes[of_reading] = rejected.indices.drop_null().to_numpy() + len(causes)
    causes += [Cause(READING, reason) for reason in rejected.dictionary.to_pylist()]
    rows = {source.name: source.records.counts["records"] for source in sources}
    facts = table.drop_columns(["reason", "rule"])
    return Verdicts(rows, facts, causes, codes, np.arange(len(codes)))


def _are_in(ids: pa.ChunkedArray, wanted: Sequence[str]) -> np.ndarray:
    import pyarrow as pa
    import pyarrow.compute as pc

    options = pc.SetLookupOptions(value_set=pa.array(wanted, pa.string()))
    return pc.call_function("is_in", [ids], options).to_numpy()


def _narrow_rows(group: Group, filters: Sequence[FilterConfig], keep_by: Sequence[str]) -> pa.Table:
    """Narrow columns of some parts, and in ``rule`` the number of the rule that drops a row first, or -1."""
    import pyarrow as pa

    source, tables = group.source, []
    for part in group.parts:
        own = read_table(source.records.path / part.name, ["id", "reason", *OF_RECORDS])
        features = read_table(source.features.path / part.name)
        wide = own
        for name in features.column_names:
            if name not in (CONTENT_HASH, SIGNATURE):
                wide = wide.append_column(name, features[name])
        narrow = own.select(["id", "licence", "reason"])
        for name in (CHARACTERS, CONTENT_HASH):
            narrow = narrow.append_column(name, features[name])
        for name in keep_by:
            values = wide[name.removeprefix("-")].cast(pa.float64())
            narrow = narrow.append_column(f"keep_by {name}", values)
        tables.append(narrow.append_column("rule", pa.array(first_rule(wide, filters))))
    return pa.concat_tables(tables)


def _check_shares(found: Verdicts, max_share: float) -> None:
    for step in found.steps():
        share = step["dropped"] / max(step["reached"], 1)
        if step["reached"] >= _ENOUGH_TO_JUDGE_A_STEP and share > max_share:
            raise DataError(
                f"The step {step['step']!r} takes {step['dropped']:,} of the {step['reached']:,} documents "
                f"that reach it, {share:.1%}; data.max_drop_share = {max_share:g} stops at that. See whether "
                "its settings fit this text. If they do, set data.max_drop_share higher (1 allows all)."
            )


def _check_sources(found: Verdicts) -> None:
    start = 0
    for name, count in found.rows.items():
        codes = found.codes[start : start + count]
        start += count
        if count >= _ENOUGH_TO_JUDGE_A_SOURCE and (codes >= 0).all() and len(found.alive()):
            raise DataError(
                f"Nothing is left of the {count:,} documents of source {name!r}. What took them: "
                f"{_reasons(found.causes, codes)}. Change the filter that gives this reason (data.filters), "
                "or leave the source out; data.max_drop_share = 1 lets a source go."
            )


def _splits(found: Verdicts, share: float) -> np.ndarray:
    """int8, (N,): the place of each row's split in ``SPLITS``."""
    splits = np.full(len(found.codes), SPLITS.index(DROPPED), np.int8)
    alive, start = found.alive(), 0
    hashes = found.facts[CONTENT_HASH].combine_chunks()
    for n_rows in found.rows.values():
        rows = alive[(alive >= start) & (alive < start + n_rows)]
        numbers = np.frombuffer(hashes.take(rows).buffers()[1] or b"", ">u8")[::2]
        chosen = held_out(numbers[: len(rows)], share)
        splits[rows] = np.where(chosen, SPLITS.index(VALIDATION), SPLITS.index(TRAIN))
        start += n_rows
    return splits


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


def _decisions(found: Verdicts, splits: np.ndarray, index: Index) -> pa.Table:
    import pyarrow as pa

    kept = found.codes < 0
    earlier = index.column("id")
    ids = pa.chunked_array([*earlier.chunks, *found.facts["id"].chunks], pa.string())
    reasons = pa.array([cause.reason for cause in found.causes], pa.string())
    repeats = found.first != np.arange(len(found.first))
    return pa.table(
        {
            "split": pa.array(SPLITS, pa.string()).take(pa.array(splits)),
            "reason": reasons.take(pa.array(found.codes, mask=kept)),
            "cuts": _cuts_column(found.cuts, len(found.codes)),
            "duplicate_of": ids.take(pa.array(found.first + len(earlier), mask=~repeats)),
        }
    )


def _cuts_column(cuts: Mapping[int, Spans], n_rows: int) -> pa.Array:
    """The starts and stops of each row's cuts in turn, null for most."""
    import pyarrow as pa

    sizes, values = np.zeros(n_rows, np.int64), []
    for row in sorted(cuts):
        sizes[row] = 2 * len(cuts[row])
        values += [number for span in cuts[row] for number in span]
    offsets = pa.array(np.concatenate([[0], np.cumsum(sizes)]), pa.int32())
    return pa.ListArray.from_arrays(offsets, pa.array(values, pa.int64()), mask=pa.array(sizes == 0))


def waterfall(found: Verdicts, splits: np.ndarray) -> dict[str, Any]:
    """What became of the records of each source, every one counted once, and what each step took."""
    sources, start = {}, 0
    for source, n_rows in found.rows.items():
        sources[source] = _count(found, splits, slice(start, start + n_rows))
        start += n_rows
    for counted in sources.values():
        dropped, quarantined = (sum(counted[name].values()) for name in ("dropped", "quarantined"))
        assert counted["read"] == counted["kept"] + dropped + quarantined
    return {"sources": sources, "steps": found.steps()}


def _count(found: Verdicts, splits: np.ndarray, rows: slice) -> dict[str, Any]:
    codes, of_split = found.codes[rows], np.bincount(splits[rows], minlength=len(SPLITS))
    sizes = found.facts[CHARACTERS].combine_chunks().fill_null(0).to_numpy()[rows]
    characters = np.bincount(splits[rows], sizes, len(SPLITS)).astype(np.int64)
    dropped: dict[bool, Counter[str]] = {True: Counter(), False: Counter()}
    counts = np.bincount(codes[codes >= 0], minlength=len(found.causes)).tolist()
    for cause, count in zip(found.causes, counts, strict=True):
        if count:
            dropped[cause.step == READING][cause.reason] += count
    licences = found.facts["licence"].combine_chunks()[rows].filter(codes < 0).unique().to_pylist()
    return {
        "read": len(codes),
        "kept": int(of_split[0] + of_split[1]),
        "train": int(of_split[0]),
        "validation": int(of_split[1]),
        "dropped": _most_first(dropped[False]),
        "quarantined": _most_first(dropped[True]),
        "characters": dict(zip(SPLITS, characters.tolist(), strict=True)),
        "licences": sorted(licences),
    }


def _most_first(counts: Counter[str]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _all_dropped(found: Verdicts) -> str:
    return (
        f"Nothing is left of {len(found.codes):,} documents. What took them: "
        f"{_reasons(found.causes, found.codes)}. Change or leave out the filter that gives this reason "
        "(data.filters), or the way the source is read (data.sources)."
    )


def _reasons(causes: Sequence[Cause], codes: np.ndarray) -> str:
    """How often each reason stands in ``codes``, none of which is -1."""
    reasons: Counter[str] = Counter()
    for cause, count in zip(causes, np.bincount(codes, minlength=len(causes)), strict=True):
        reasons[cause.reason] += int(count)
    return ", ".join(f"{reason} {count:,}" for reason, count in reasons.most_common() if count)
