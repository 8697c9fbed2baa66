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
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from towpath.core.artifacts import Artifact
from towpath.core.errors import DataError
from towpath.data import engine
from towpath.data.annotating import grouped, signature_length
from towpath.data.config import DataConfig, SubstringsConfig
from towpath.data.cutting import Spans, find_cuts
from towpath.data.dedup.exact import exact_duplicates
from towpath.data.dedup.near import near_duplicates
from towpath.data.hashing import HASH_BYTES
from towpath.data.parts import read_table
from towpath.data.reading import Part, parts_of
from towpath.data.rules import CHARACTERS, CONTENT_HASH, OF_RECORDS, SIGNATURE, first_rule, steps_of

if TYPE_CHECKING:
    import pyarrow as pa

    from towpath.data.filters import FilterConfig

TRAIN, VALIDATION, DROPPED = SPLITS = ("train", "validation", "dropped")
READING = "reading"
EMPTY = "empty"
EXACT_DUPLICATE = "exact_duplicate"
NEAR_DUPLICATE = "near_duplicate"
REPEATED_TEXT = "repeated_text"
INDEX_FILES = "index/*/part-*.parquet"
OF_EARLIER = "_of_earlier"
"""Ending of the reason when it is a document of an earlier artifact that is repeated."""
_ENOUGH_TO_JUDGE_A_STEP = 1_000


@dataclass(frozen=True)
class Annotated:
    """A source as records and features."""

    name: str
    records: Artifact
    features: Artifact


@dataclass(frozen=True)
class Cause:
    """Why a record is dropped, and which step does that."""

    step: str
    reason: str


@dataclass
class Verdicts:
    """What became of N records so far, in reading order, source after source."""

    rows: dict[str, int]
    """Records of each source."""
    facts: pa.Table
    """(N,): id, licence, characters, content_hash, and the columns of ``keep_by``."""
    causes: list[Cause]
    codes: np.ndarray
    """int16, (N,): place in ``causes``; -1 for what stays."""
    first: np.ndarray
    """int64, (N,): the row that each row repeats, itself if none; of E earlier documents the last one is
    -1 and the first -E."""
    cuts: dict[int, Spans] = field(default_factory=dict)
    """Row to the stretches that are cut from its text."""

    def alive(self) -> np.ndarray:
        """Rows that nothing has dropped yet."""
        return np.flatnonzero(self.codes < 0)

    def drop(self, rows: np.ndarray, cause: Cause) -> None:
        """Drop ``rows``."""
        self.codes[rows] = len(self.causes)
        self.causes.append(cause)

    def steps(self) -> list[dict[str, Any]]:
        """Each step in order: its name, how many records reached it, how many it took."""
        counts = np.bincount(self.codes[self.codes >= 0], minlength=len(self.causes))
        dropped = {READING: 0}
        for cause, count in zip(self.causes, counts.tolist(), strict=True):
            dropped[cause.step] = dropped.get(cause.step, 0) + count
        left, steps = len(self.codes), []
        for step, count in dropped.items():
            steps.append({"step": step, "reached": left, "dropped": count})
            left -= count
        return steps


def decide(
    sources: Sequence[Annotated], config: DataConfig, earlier: Sequence[Artifact], work: Path
) -> tuple[pa.Table, dict[str, Any]]:
    """A row for each record of ``sources``, in order: ``split``, ``reason``, ``duplicate_of`` (an id).

    Of equal documents the earliest stays, sources in the order of the run file; what repeats a document
    of ``earlier`` goes. Second comes the waterfall. ``work`` is a folder for what is too large to be held.

    Raises:
        DataError: nothing stays, or a step takes more than ``config.max_drop_share`` of what reaches it.
    """
    found = _by_rules(sources, config)
    _check_shares(found, config.max_drop_share)
    index = Index(earlier)
    _drop_exact(found, index)
    _check_shares(found, config.max_drop_share)
    if config.near_duplicates.enabled:
        _drop_near(found, sources, config, index, work)
        _check_shares(found, config.max_drop_share)
    if config.substrings.enabled:
        _cut_repeats(found, sources, config.substrings, work)
        _check_shares(found, config.max_drop_share)
    if not len(found.alive()):
        raise DataError(_all_dropped(found))
    own = found.first >= 0
    found.first[own] = found.first[
        found.first[own]
    ]  # what repeats a near duplicate repeats what that repeats
    splits = _splits(found, config.validation_share)
    return _decisions(found, splits, index), waterfall(found, splits)


def _by_rules(sources: Sequence[Annotated], config: DataConfig) -> Verdicts:
    """What reading and the filters drop."""
    import pyarrow as pa

    rules = [Cause(step.name, reason) for step in steps_of(config.filters) for reason in step.reasons]
    causes = [Cause(EMPTY, EMPTY), *rules]
    tables = []
    for source in sources:
        groups = grouped(parts_of(source.records), config.part_bytes)
        tasks = [(source, group) for group in groups]
        tables += engine.each(partial(_narrow_rows, filters=config.filters, keep_by=config.keep_by), tasks)
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


def _narrow_rows(
    task: tuple[Annotated, tuple[Part, ...]], filters: Sequence[FilterConfig], keep_by: Sequence[str]
) -> pa.Table:
    """Narrow columns of some parts, and in ``rule`` the number of the rule that drops a row first, or -1."""
    import pyarrow as pa

    source, parts = task
    tables = []
    for part in parts:
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


class Index:
    """What earlier documents left to be compared with: E of them, in a fixed order."""

    def __init__(self, artifacts: Sequence[Artifact]) -> None:
        self.paths = [path for artifact in artifacts for path in sorted(artifact.path.glob(INDEX_FILES))]

    def column(self, name: str) -> pa.ChunkedArray:
        """One column of all, (E,)."""
        import pyarrow as pa

        tables = [read_table(path, [name]) for path in self.paths]
        kind = pa.string() if name == "id" else pa.binary(HASH_BYTES)
        return pa.concat_tables(tables)[name] if tables else pa.chunked_array([], kind)


def _drop_exact(found: Verdicts, index: Index) -> None:
    import pyarrow as pa

    rows, earlier = found.alive(), index.column(CONTENT_HASH)
    own = found.facts[CONTENT_HASH].combine_chunks().take(rows)
    hashes = pa.chunked_array([*earlier.chunks, own]).combine_chunks()
    first = exact_duplicates(hashes)[len(earlier) :]
    _drop_repeats(found, rows, first - len(earlier), EXACT_DUPLICATE)


def _drop_repeats(found: Verdicts, rows: np.ndarray, first: np.ndarray, reason: str) -> None:
    """``first``: the place in ``rows`` that each of them repeats, negative for earlier documents."""
    found.first[rows] = np.where(first < 0, first, rows[np.maximum(first, 0)])
    step = reason.replace("_", " ") + "s"
    if (first < 0).any():
        found.drop(rows[first < 0], Cause(f"{step} of earlier", reason + OF_EARLIER))
    repeats = (first >= 0) & (first != np.arange(len(rows)))
    found.drop(rows[repeats], Cause(step, reason))


def _drop_near(
    found: Verdicts, sources: Sequence[Annotated], config: DataConfig, index: Index, work: Path
) -> None:
    near = config.near_duplicates
    path, n_hashes = work / "signatures.uint32", signature_length(near)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        n_earlier = _write_earlier(index, n_hashes, file)
        rows = _write_signatures(found, sources, n_hashes, file)
    if len(rows):
        signatures = np.memmap(path, np.uint32, "r", shape=(n_earlier + len(rows), n_hashes))
        first = near_duplicates(signatures, near.bands, near.min_similarity)
        first = _preferred(first[n_earlier:] - n_earlier, found, rows)
        _drop_repeats(found, rows, first, NEAR_DUPLICATE)


def _preferred(first: np.ndarray, found: Verdicts, rows: np.ndarray) -> np.ndarray:
    """``first``, (M,), with the best of each group by ``keep_by`` in the place of its first."""
    names = [name for name in found.facts.column_names if name.startswith("keep_by ")]
    if not names:
        return first
    keys = [np.arange(len(rows))]
    for name in reversed(names):
        values = found.facts[name].combine_chunks().take(rows).fill_null(np.nan).to_numpy()
        keys.append(values if name.startswith("keep_by -") else -values)  # not a number comes last
    order = np.lexsort([*keys, first])
    starts = np.flatnonzero(np.diff(first[order], prepend=np.iinfo(np.int64).min))
    best = np.repeat(order[starts], np.diff(starts, append=len(order)))
    preferred = np.empty_like(first)
    preferred[order] = best
    return np.where(first < 0, first, preferred)


def _write_earlier(index: Index, n_hashes: int, file: BinaryIO) -> int:
    """The signatures of earlier documents; one that has none gets a row that is like no other."""
    count = 0
    for path in index.paths:
        column = read_table(path, [SIGNATURE])[SIGNATURE].combine_chunks()
        filled = column.fill_null(bytes(column.type.byte_width))
        file.write(_bytes_of(filled, np.ones(len(filled), bool), n_hashes))
        count += len(filled)
    return count


def _write_signatures(
    found: Verdicts, sources: Sequence[Annotated], n_hashes: int, file: BinaryIO
) -> np.ndarray:
    """Those of rows that are alive and have one; returns the rows, (M,)."""
    alive = found.codes < 0
    rows, start = [np.zeros(0, np.int64)], 0
    for source in sources:
        for part in parts_of(source.records):
            column = read_table(source.features.path / part.name, [SIGNATURE])[SIGNATURE].combine_chunks()
            known = column.is_valid().to_numpy(zero_copy_only=False) & alive[start : start + part.rows]
            rows.append(np.flatnonzero(known) + start)
            file.write(_bytes_of(column, known, n_hashes))
            start += part.rows
    return np.concatenate(rows)


def _bytes_of(column: pa.FixedSizeBinaryArray, chosen: np.ndarray, n_hashes: int) -> bytes:
    content = np.frombuffer(column.buffers()[1], np.uint32)
    start = column.offset * n_hashes
    return content[start : start + len(column) * n_hashes].reshape(-1, n_hashes)[chosen].tobytes()


def _cut_repeats(
    found: Verdicts, sources: Sequence[Annotated], substrings: SubstringsConfig, work: Path
) -> None:
    import pyarrow as pa

    work.mkdir(parents=True, exist_ok=True)
    characters = found.facts[CHARACTERS].combine_chunks().fill_null(0).to_numpy().copy()
    too_short = []
    records = [source.records for source in sources]
    for cut in find_cuts(found.codes < 0, records, substrings, work):
        characters[cut.row] -= cut.n_chars
        found.cuts[cut.row] = cut.spans
        if characters[cut.row] < substrings.min_rest_chars:
            too_short.append(cut.row)
            characters[cut.row] += cut.n_chars
            del found.cuts[cut.row]
    place = found.facts.column_names.index(CHARACTERS)
    found.facts = found.facts.set_column(place, CHARACTERS, pa.chunked_array([characters]))
    found.drop(np.array(too_short, np.int64), Cause("repeated text", REPEATED_TEXT))


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
    reasons: Counter[str] = Counter()
    for cause, count in zip(found.causes, np.bincount(found.codes, minlength=len(found.causes)), strict=True):
        reasons[cause.reason] += int(count)
    took = ", ".join(f"{reason} {count:,}" for reason, count in reasons.most_common() if count)
    return (
        f"Nothing is left of {len(found.codes):,} documents. What took them: {took}. Change or leave out "
        "the filter that gives this reason (data.filters), or the way the source is read (data.sources)."
    )
