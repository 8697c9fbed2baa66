"""The way from sources to documents, as three kinds of artifact.

records     one a source: everything that it gave, cleaned              ``reading``
features    one a source: a row of numbers a record                     ``annotating``
documents   one: what stays of all sources, what was dropped and why    ``decide``, ``sorting``

Each is made once for what it depends on. So another threshold, other filters over the same columns or
another choice among the same sources read no source again; and when documents are there, their records
and features may be deleted to save room.

Each part is written durably and then marked done, so a killed run goes on with the next. What is
in a part depends on the input and the settings alone, so whatever the number of workers, the engine,
and however often it was killed, the result is the same to the byte.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from towpath.core.artifacts import Artifact, Draft, Store, artifact_id
from towpath.core.config import identity
from towpath.core.errors import ConfigError, DataError
from towpath.core.files import readable_json, sha256_of, write_durably
from towpath.data import annotating, engine, reading
from towpath.data.annotating import Plan, make_features
from towpath.data.config import DataConfig
from towpath.data.decide import TRAIN, VALIDATION, Annotated, decide
from towpath.data.digests import FileDigests
from towpath.data.parts import read_table, write_table
from towpath.data.reading import make_records, records_meaning
from towpath.data.rules import check_rules
from towpath.data.sorting import sort_out

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
        ConfigError: there are no sources, or a rule can't be evaluated.
        DataError: a source can't be read, gives nothing, nothing of all of them stays, or a step takes
            more than ``config.max_drop_share``.
        MissingPackageError: a source or filter needs a package that is not installed.
    """
    if not config.sources:
        raise ConfigError(
            'data.sources is empty. Name what to read, for example {type = "files", path = "texts"}.'
        )
    inputs, plan = _fingerprints(store, config), Plan.of(config)
    parents = []
    for source in config.sources:
        meaning = records_meaning(source, config, inputs[source.name])
        records = artifact_id(reading.KIND, meaning, [])
        parents.append(artifact_id(annotating.KIND, plan.meaning(), [records]))
    write = partial(_write, store=store, config=config, inputs=inputs, plan=plan)
    return store.make(KIND, name, identity(config), parents, write)


def _fingerprints(store: Store, config: DataConfig) -> dict[str, str]:
    digests = FileDigests(store.home / "cache" / "file-digests.json")
    try:
        return {source.name: source.fingerprint(digests.sha256) for source in config.sources}
    finally:
        digests.save()


def _write(draft: Draft, store: Store, config: DataConfig, inputs: Mapping[str, str], plan: Plan) -> None:
    work = draft.path / _WORK
    if not draft.is_done(_ALL_DONE):
        engine.start(config.engine, config.workers)
        check_rules(config.filters)
        sources = _annotated(store, config, inputs, plan)
        decisions = _decided(draft, sources, config, work)
        sort_out(draft, sources, decisions, config.part_bytes, work)
        draft.mark_done(_ALL_DONE)
    if work.exists():
        shutil.rmtree(work)
    _describe(draft)


def _annotated(store: Store, config: DataConfig, inputs: Mapping[str, str], plan: Plan) -> list[Annotated]:
    records = [make_records(store, source, config, inputs[source.name]) for source in config.sources]
    if not any(found.counts["records"] for found in records):
        named = ", ".join(f"{source.name!r}" for source in config.sources)
        raise DataError(
            f"The corpus is empty: there is no document in {named}. Check the paths in data.sources."
        )
    return [
        Annotated(source.name, found, make_features(store, found, plan, config.part_bytes))
        for source, found in zip(config.sources, records, strict=True)
    ]


def _decided(draft: Draft, sources: list[Annotated], config: DataConfig, work: Path):
    path = work / _DECISIONS
    digest = draft.fact_of(_DECISIONS)
    if digest is None or not path.exists() or sha256_of(path) != digest:
        decisions, counts = decide(sources, config, work)
        write_durably(draft.path / WATERFALL, readable_json(counts))
        draft.mark_done(_DECISIONS, write_table(path, decisions))
    return read_table(path)


def _describe(draft: Draft) -> None:
    sources = json.loads((draft.path / WATERFALL).read_bytes())["sources"].values()
    for name in ("read", "kept", TRAIN, VALIDATION):
        draft.counts[name] = sum(source[name] for source in sources)
    for name in ("dropped", "quarantined"):
        draft.counts[name] = sum(sum(source[name].values()) for source in sources)
    draft.counts["characters"] = sum(
        source["characters"][split] for source in sources for split in (TRAIN, VALIDATION)
    )
    draft.licences = sorted({licence for source in sources for licence in source["licences"]})
