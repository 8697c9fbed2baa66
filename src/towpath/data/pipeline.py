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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from towpath.core.artifacts import Artifact, Draft, Store, artifact_id
from towpath.core.config import identity
from towpath.core.errors import ConfigError, DataError
from towpath.core.files import canonical_json, readable_json, sha256_of, write_durably
from towpath.data import annotating, engine, reading
from towpath.data.annotating import Plan, make_features
from towpath.data.config import DataConfig, SubstringsConfig
from towpath.data.decide import decide
from towpath.data.digests import FileDigests
from towpath.data.evaluation_sets import EvaluationSet
from towpath.data.parts import read_table, write_table
from towpath.data.reading import make_records, records_meaning
from towpath.data.removal import named_in, read_removals
from towpath.data.rules import check_rules
from towpath.data.sorting import sort_out
from towpath.data.sources import Source
from towpath.data.verdicts import TRAIN, VALIDATION, Annotated

if TYPE_CHECKING:
    import pyarrow as pa

KIND = "documents"
WATERFALL = "waterfall.json"
CONTAMINATION = "contamination.json"
_WORK = "work"
_DECISIONS = "decisions.parquet"
_ALL_DONE = "content"


def make_documents(store: Store, config: DataConfig, name: str = KIND) -> Artifact:
    """Read ``config.sources``, drop what the filters and duplicates take, hold out validation documents.

    Returns the finished artifact (kind "documents") when there is one for these settings and this
    input. ``Documents`` opens it.

    Raises:
        ConfigError: there are no sources, or a rule can't be evaluated.
        ArtifactError: ``config.against`` names what is not there.
        DataError: a source can't be read, gives nothing, nothing of all of them stays, or a step takes
            more than ``config.max_drop_share``.
        MissingPackageError: a source or filter needs a package that is not installed.
    """
    if not config.sources:
        raise ConfigError(
            'data.sources is empty. Name what to read, for example {type = "files", path = "texts"}.'
        )
    found = _fingerprints(store, config.sources)
    inputs = {source.name: digest for source, digest in zip(config.sources, found, strict=True)}
    plan = Plan.of(config)
    parents = []
    for source in config.sources:
        meaning = records_meaning(source, config, inputs[source.name])
        records = artifact_id(reading.KIND, meaning, [])
        parents.append(artifact_id(annotating.KIND, plan.meaning(), [records]))
    earlier = [_comparable(store.open(reference, KIND), config) for reference in config.against]
    meaning = {**identity(config), "against": [artifact.id for artifact in earlier]}
    if config.decontaminate:
        meaning["evaluation_sets"] = _fingerprints(store, config.decontaminate)
    given = Inputs(store, inputs, plan, earlier)
    ids = [*parents, *(artifact.id for artifact in earlier)]
    removed = _removed(config, given, meaning, ids)
    if removed:
        meaning["removed"] = removed
    write = partial(_write, config=config, given=replace(given, removed=removed))
    return store.make(KIND, name, meaning, ids, write)


def _removed(
    config: DataConfig, given: Inputs, meaning: Mapping[str, Any], parents: Sequence[str]
) -> tuple[str, ...]:
    """The ids of this input's documents that are to be left out (``towpath.data.removal``).

    Datasets that hold none of what the list names stay what they are.
    """
    wishes = read_removals(given.store.home)
    if not wishes:
        return ()
    found: set[str] = set()
    same = [item for item in given.store.all(KIND) if _is_same(item, meaning, parents)]
    for dataset in same:
        found.update(dataset.config.get("removed", ()), named_in(dataset, wishes))
    if not same:
        engine.start(config.engine, config.workers)
        for source in config.sources:
            records = make_records(given.store, source, config, given.fingerprints[source.name])
            found.update(named_in(records, wishes))
    return tuple(sorted(found))


def _is_same(dataset: Artifact, meaning: Mapping[str, Any], parents: Sequence[str]) -> bool:
    """Whether ``dataset`` is what the settings make, apart from removals."""
    config = {name: value for name, value in dataset.config.items() if name != "removed"}
    return config == json.loads(canonical_json(meaning)) and list(dataset.parents) == list(parents)


def _comparable(earlier: Artifact, config: DataConfig) -> Artifact:
    """``earlier``, if its index was made in the way that repeats are found now."""
    theirs, ours = earlier.config["near_duplicates"], identity(config.near_duplicates)
    asked = ("enabled", "shingle_words", "bands", "hashes_per_band")
    differ = [name for name in asked if theirs[name] != ours[name]]
    if ours["enabled"] and differ:
        raise ConfigError(
            f"data.against: the index of {earlier.path} was made with near_duplicates.{differ[0]} = "
            f"{theirs[differ[0]]}; here it is {ours[differ[0]]}. Use the same, or switch near duplicates off."
        )
    if config.substrings.enabled and config.substrings.of_earlier:
        _check_fingerprints(earlier, config.substrings)
    return earlier


def _check_fingerprints(earlier: Artifact, ours: SubstringsConfig) -> None:
    given = earlier.config["substrings"]
    theirs = SubstringsConfig.model_validate(given)
    if "fingerprints" not in given or not theirs.indexed:
        problem = "has no fingerprints of its text"
        remedy = "Make it again with data.substrings.fingerprints = true"
    elif theirs.min_bytes != ours.min_bytes:
        problem = f"was made with substrings.min_bytes = {theirs.min_bytes}; here it is {ours.min_bytes}"
        remedy = "Use the same"
    else:
        return
    raise ConfigError(
        f"data.against: the index of {earlier.path} {problem}. {remedy}, or set "
        "data.substrings.of_earlier = false to look for repeated stretches in the new text alone."
    )


def _fingerprints(store: Store, inputs: Sequence[Source | EvaluationSet]) -> list[str]:
    digests = FileDigests(store.home / "cache" / "file-digests.json")
    try:
        return [found.fingerprint(digests.sha256) for found in inputs]
    finally:
        digests.save()


@dataclass(frozen=True)
class Inputs:
    """What is needed beside the settings."""

    store: Store
    fingerprints: Mapping[str, str]
    """Of each source by name."""
    plan: Plan
    earlier: Sequence[Artifact]
    """Documents that may not be repeated."""
    removed: Sequence[str] = ()
    """Ids of documents that are left out on request."""


def _write(draft: Draft, config: DataConfig, given: Inputs) -> None:
    work = draft.path / _WORK
    if not draft.is_done(_ALL_DONE):
        engine.start(config.engine, config.workers)
        check_rules(config.filters, config.keep_by)
        sources = _annotated(config, given)
        decisions = _decided(draft, sources, config, given)
        sort_out(draft, sources, decisions, config, work)
        draft.mark_done(_ALL_DONE)
    if work.exists():
        shutil.rmtree(work)
    _describe(draft)


def _annotated(config: DataConfig, given: Inputs) -> list[Annotated]:
    store, plan = given.store, given.plan
    records = [
        make_records(store, source, config, given.fingerprints[source.name]) for source in config.sources
    ]
    if not any(found.counts["records"] for found in records):
        named = ", ".join(f"{source.name!r}" for source in config.sources)
        raise DataError(
            f"The corpus is empty: there is no document in {named}. Check the paths in data.sources."
        )
    return [
        Annotated(source.name, found, make_features(store, found, plan, config.part_bytes))
        for source, found in zip(config.sources, records, strict=True)
    ]


def _decided(draft: Draft, sources: Sequence[Annotated], config: DataConfig, given: Inputs) -> pa.Table:
    work = draft.path / _WORK
    path = work / _DECISIONS
    digest = draft.fact_of(_DECISIONS)
    if digest is None or not path.exists() or sha256_of(path) != digest:
        decisions, counts, contamination = decide(sources, config, given.earlier, work, given.removed)
        write_durably(draft.path / WATERFALL, readable_json(counts))
        if contamination:
            write_durably(draft.path / CONTAMINATION, readable_json(contamination))
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
