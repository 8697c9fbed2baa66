"""The way from sources to an artifact of documents: read, judge, decide, sort out.

read      every source into parts          work/read/<source>/part-00000.parquet
judge     a narrow row for each document   work/judged/<source>/part-00000.parquet
decide    duplicates and splits            work/decisions.parquet, waterfall.json
sort out  the parts of the result          train|validation|dropped/<source>/part-00000.parquet

Each part is written durably and then marked done, so a killed run goes on with the next. What is
in a part depends on the input and the settings alone, so whatever the number of workers and
however often it was killed, the result is the same to the byte.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from towpath.core.artifacts import Artifact, Draft, Store
from towpath.core.config import identity
from towpath.core.errors import ConfigError, DataError
from towpath.core.files import readable_json, write_durably
from towpath.core.progress import progress
from towpath.data import engine
from towpath.data.config import DataConfig
from towpath.data.decide import DROPPED, SPLITS, TRAIN, VALIDATION, decide, waterfall
from towpath.data.digests import FileDigests
from towpath.data.ingest import read_source, rows_of_parts
from towpath.data.judge import judge_part
from towpath.data.parts import document_schema, keep_part, part_path, read_table, write_table

if TYPE_CHECKING:
    import pyarrow as pa

KIND = "documents"
WATERFALL = "waterfall.json"
_WORK = "work"
_DECISIONS = "decisions.parquet"
_ALL_DONE = "content"


def make_documents(store: Store, config: DataConfig, name: str = KIND) -> Artifact:
    """Read ``config.sources``, drop what the filters and duplicates take, hold out validation documents.

    Returns the finished artifact (kind "documents") when there is one for these settings and this
    input. ``Documents`` opens it.

    Raises:
        ConfigError: there are no sources.
        DataError: a source can't be read, gives nothing, or nothing of all of them stays.
        MissingPackageError: a source or filter needs a package that is not installed.
    """
    if not config.sources:
        raise ConfigError(
            'data.sources is empty. Name what to read, for example {type = "files", path = "texts"}.'
        )
    meaning = {**identity(config), "inputs": _fingerprints(store, config)}
    return store.make(KIND, name, meaning, [], partial(_write, config=config))


def _fingerprints(store: Store, config: DataConfig) -> dict[str, str]:
    digests = FileDigests(store.home / "cache" / "file-digests.json")
    try:
        return {source.name: source.fingerprint(digests.sha256) for source in config.sources}
    finally:
        digests.save()


def _write(draft: Draft, config: DataConfig) -> None:
    work = draft.path / _WORK
    if not draft.is_done(_ALL_DONE):
        engine.start(config.engine, config.workers)
        _read(draft, config, work)
        _judge(draft, config, work)
        _decide(draft, config, work)
        _sort_out(draft, config, work)
        draft.mark_done(_ALL_DONE)
    if work.exists():
        shutil.rmtree(work)
    _describe(draft)


def _read(draft: Draft, config: DataConfig, work: Path) -> None:
    for source in config.sources:
        read_source(source, config, draft, work / "read" / source.name)
    if not any(sum(rows) for _, rows in _parts(config, work)):
        named = ", ".join(f"{source.name!r}" for source in config.sources)
        raise DataError(
            f"The corpus is empty: there is no document in {named}. Check the paths in data.sources."
        )


def _parts(config: DataConfig, work: Path) -> list[tuple[str, list[int]]]:
    """The sources by name, with how many rows each of their parts has."""
    return [(source.name, rows_of_parts(work / "read" / source.name) or []) for source in config.sources]


def _judge(draft: Draft, config: DataConfig, work: Path) -> None:
    for source, rows in _parts(config, work):
        with progress(f"judging {source}", total=sum(rows), unit="documents") as bar:
            for number, n_rows in enumerate(rows):
                read = part_path(work / "read" / source, number)
                judged = part_path(work / "judged" / source, number)
                keep_part(draft, judged, partial(judge_part, read, config))
                bar.advance(n_rows)


def _decide(draft: Draft, config: DataConfig, work: Path) -> None:
    path = work / _DECISIONS
    if draft.is_done(_DECISIONS) and path.exists():
        return
    judged = _judged(config, work)
    with progress("looking for duplicates", total=judged.num_rows, unit="documents") as bar:
        decisions = decide(judged, config)
        bar.advance(judged.num_rows)
    counts = waterfall(judged, decisions, [source.name for source in config.sources])
    if not any(counted["kept"] for counted in counts["sources"].values()):
        raise DataError(_all_dropped(decisions))
    write_durably(draft.path / WATERFALL, readable_json(counts))
    write_table(path, decisions)
    draft.mark_done(_DECISIONS)


def _judged(config: DataConfig, work: Path) -> pa.Table:
    import pyarrow as pa

    tables = []
    for source, rows in _parts(config, work):
        for number in range(len(rows)):
            table = read_table(part_path(work / "judged" / source, number))
            tables.append(table.append_column("source", pa.array([source] * table.num_rows, pa.string())))
    return pa.concat_tables(tables)


def _all_dropped(decisions: pa.Table) -> str:
    reasons = Counter(decisions["reason"].to_pylist()).most_common()
    took = ", ".join(f"{reason} {count:,}" for reason, count in reasons)
    return (
        f"Nothing is left of {decisions.num_rows:,} documents. What took them: {took}. Change or leave out "
        "the filter that gives this reason (data.filters), or the way the source is read (data.sources)."
    )


def _sort_out(draft: Draft, config: DataConfig, work: Path) -> None:
    decisions = read_table(work / _DECISIONS)
    done = 0
    with progress("writing documents", total=decisions.num_rows, unit="documents") as bar:
        for source, rows in _parts(config, work):
            for number, n_rows in enumerate(rows):
                read = part_path(work / "read" / source, number)
                decided = decisions.slice(done, n_rows)
                for split in SPLITS:
                    path = part_path(draft.path / split / source, number)
                    if split in decided["split"].unique().to_pylist():
                        keep_part(draft, path, partial(_chosen, read, decided, split))
                done += n_rows
                bar.advance(n_rows)


def _chosen(read: Path, decided: pa.Table, split: str) -> pa.Table:
    """The documents of the part ``read`` that belong to ``split``."""
    import pyarrow as pa

    table = read_table(read, document_schema().names)
    if split == DROPPED:
        for name in ("reason", "duplicate_of"):
            table = table.append_column(name, decided[name])
    chosen = [decision == split for decision in decided["split"].to_pylist()]
    return table.filter(pa.array(chosen)).combine_chunks()


def _describe(draft: Draft) -> None:
    sources = json.loads((draft.path / WATERFALL).read_bytes())["sources"].values()
    for name in ("read", "kept", TRAIN, VALIDATION):
        draft.counts[name] = sum(source[name] for source in sources)
    draft.counts["dropped"] = draft.counts["read"] - draft.counts["kept"]
    draft.counts["characters"] = sum(
        source["characters"][split] for source in sources for split in (TRAIN, VALIDATION)
    )
    draft.licences = sorted({licence for source in sources for licence in source["licences"]})
