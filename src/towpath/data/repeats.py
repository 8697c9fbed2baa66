"""Repeats: which of the kept records repeat one that is read earlier, or one of an earlier data set.

Comes in: verdicts. Goes out: the same with more dropped, each naming the row that it repeats. Exact
duplicates go by their hash, near ones by their signature, and of repeated stretches inside texts the
later ones are cut. Earlier data sets are known by the index that each documents artifact carries; for
stretches it has fingerprints.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from towpath.core.artifacts import Artifact
from towpath.data.annotating import signature_length
from towpath.data.config import DataConfig, SubstringsConfig
from towpath.data.cutting import Cut, find_cuts
from towpath.data.dedup.exact import exact_duplicates
from towpath.data.dedup.near import near_duplicates
from towpath.data.earlier_text import find_earlier_text
from towpath.data.groups import groups_of
from towpath.data.hashing import HASH_BYTES
from towpath.data.parts import read_table
from towpath.data.reading import parts_of
from towpath.data.rules import CONTENT_HASH, SIGNATURE
from towpath.data.verdicts import Annotated, Cause, Verdicts

if TYPE_CHECKING:
    import pyarrow as pa

EXACT_DUPLICATE = "exact_duplicate"
NEAR_DUPLICATE = "near_duplicate"
REPEATED_TEXT = "repeated_text"
INDEX_FILES = "index/*/part-*.parquet"
OF_EARLIER = "_of_earlier"
"""Ending of the reason when it is a document of an earlier artifact that is repeated."""


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


def drop_exact(found: Verdicts, index: Index) -> None:
    """Drop what has the hash of an earlier row."""
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


def drop_near(
    found: Verdicts, sources: Sequence[Annotated], config: DataConfig, index: Index, work: Path
) -> None:
    """Drop what is alike to an earlier row, or by ``config.keep_by`` to a better one."""
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


def cut_earlier(
    found: Verdicts,
    sources: Sequence[Annotated],
    config: DataConfig,
    earlier: Sequence[Artifact],
    work: Path,
) -> dict[int, Cut]:
    """Cut what documents of ``earlier`` have too, drop what has too little left; returns the cuts."""
    groups = list(groups_of(sources, config.part_bytes))
    cuts = find_earlier_text(found.codes < 0, groups, earlier, config.substrings, work)
    cause = Cause("repeated text of earlier", REPEATED_TEXT + OF_EARLIER)
    return _cut(found, cuts, {}, config.substrings, cause)


def cut_repeats(
    found: Verdicts,
    sources: Sequence[Annotated],
    substrings: SubstringsConfig,
    work: Path,
    before: Mapping[int, Cut],
) -> None:
    """Cut what stands in an earlier text, and drop what has too little left.

    ``before`` are the cuts of ``cut_earlier``, to which these are added.
    """
    work.mkdir(parents=True, exist_ok=True)
    records = [source.records for source in sources]
    cuts = find_cuts(found.codes < 0, records, substrings, work, before)
    _cut(found, cuts, before, substrings, Cause("repeated text", REPEATED_TEXT))


def _cut(
    found: Verdicts,
    cuts: Iterable[Cut],
    before: Mapping[int, Cut],
    substrings: SubstringsConfig,
    cause: Cause,
) -> dict[int, Cut]:
    """Make ``cuts``, in the place of those ``before``; returns those that were made.

    What has been cut for another reason stays as it is: the stretches of the two may overlap.
    """
    characters, too_short, made = found.characters(), [], {}
    for cut in cuts:
        row = cut.row
        if row in found.cuts and row not in before:
            continue
        whole = characters[row] + (before[row].n_chars if row in before else 0)
        if whole - cut.n_chars < substrings.min_rest_chars:
            too_short.append(row)
            characters[row] = whole
            found.cuts.pop(row, None)
        else:
            characters[row] = whole - cut.n_chars
            found.cuts[row] = cut.spans
            made[row] = cut
    found.set_characters(characters)
    found.drop(np.array(too_short, np.int64), cause)
    return made
