"""Removal on request: where a document went, and the list that keeps it out from now on.

The list ``removals.jsonl`` in the home folder names documents by id or by address. ``make_documents``
drops what it names, so that the same command makes a dataset, and a model, without them. What was
made before stays until it is deleted; ``find_documents``, ``made_from`` and ``files_with`` say what
that is. A model counts as reached when it was trained on shards that hold the document.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from towpath.core.artifacts import Artifact, Store
from towpath.core.errors import DataError
from towpath.core.files import write_durably
from towpath.data.earlier_text import SUFFIX
from towpath.data.parts import read_table
from towpath.data.verdicts import SPLITS

LIST = "removals.jsonl"


@dataclass(frozen=True)
class Removal:
    """One wish: a document by its id, or all documents of an address."""

    id: str | None = None
    url: str | None = None
    why: str = ""

    def names(self, identifier: str, url: str | None) -> bool:
        """Whether a document with this id and address is meant."""
        return identifier == self.id or (url is not None and url == self.url)


@dataclass(frozen=True)
class Found:
    """A document that a removal names, and the dataset that holds it."""

    dataset: Artifact
    split: str
    part: Path
    id: str
    url: str | None


def read_removals(home: Path) -> list[Removal]:
    """The removals asked for so far.

    Raises:
        DataError: the list is damaged.
    """
    path = home / LIST
    if not path.exists():
        return []
    try:
        return [Removal(**json.loads(line)) for line in path.read_text().splitlines()]
    except (ValueError, TypeError) as error:
        raise DataError(
            f"{path} is damaged: {error}. Expected one JSON object a line with id or url, and why."
        ) from error


def add_removals(home: Path, wishes: Iterable[Removal]) -> list[Removal]:
    """Add what is not on the list yet; returns what was added."""
    known = read_removals(home)
    new = [wish for wish in wishes if wish not in known]
    if new:
        home.mkdir(parents=True, exist_ok=True)
        lines = [json.dumps(wish.__dict__, ensure_ascii=False) + "\n" for wish in [*known, *new]]
        write_durably(home / LIST, "".join(lines).encode())
    return new


def named_in(artifact: Artifact, wishes: Sequence[Removal]) -> list[str]:
    """The ids of the documents, or records, of ``artifact`` that ``wishes`` name, sorted."""
    parts = [artifact.path / name for name in artifact.files if _holds_documents(name)]
    return sorted({found.id for part in parts for found in _in_part(artifact, "", part, wishes)})


def _holds_documents(name: str) -> bool:
    folder = name.split("/")[0]
    return name.endswith(".parquet") and (folder in SPLITS or folder == name)


def find_documents(store: Store, wishes: Sequence[Removal]) -> list[Found]:
    """The documents that ``wishes`` name in all datasets of ``store``, dropped ones included."""
    return [
        found
        for dataset in store.all("documents")
        for split in SPLITS
        for part in sorted((dataset.path / split).glob("*/part-*.parquet"))
        for found in _in_part(dataset, split, part, wishes)
    ]


def _in_part(dataset: Artifact, split: str, part: Path, wishes: Sequence[Removal]) -> list[Found]:
    table = read_table(part, ["id", "url"])
    rows = zip(table["id"].to_pylist(), table["url"].to_pylist(), strict=True)
    return [
        Found(dataset, split, part, identifier, url)
        for identifier, url in rows
        if any(wish.names(identifier, url) for wish in wishes)
    ]


def made_from(store: Store, datasets: Iterable[Artifact]) -> list[Artifact]:
    """Everything made from ``datasets``, directly or not: shards, checkpoints, scores."""
    reached = {dataset.id for dataset in datasets}
    everything = list(store.all())
    result: dict[str, Artifact] = {}
    grew = True
    while grew:
        grew = False
        for artifact in everything:
            if artifact.id not in reached and reached.intersection(artifact.parents):
                reached.add(artifact.id)
                result[artifact.id] = artifact
                grew = True
    return list(result.values())


def files_with(artifact: Artifact, identifiers: Collection[str]) -> list[Path]:
    """The files of ``artifact`` that hold one of these documents: parts, tables of shards, fingerprints."""
    import pyarrow.parquet as pq

    wanted = set(identifiers)
    paths = [artifact.path / name for name in sorted(artifact.files) if name.endswith(".parquet")]
    with_ids = [path for path in paths if "id" in pq.read_schema(path).names]
    found = [path for path in with_ids if wanted & set(read_table(path, ["id"])["id"].to_pylist())]
    return found + [path.with_suffix(SUFFIX) for path in found if path.with_suffix(SUFFIX).exists()]
