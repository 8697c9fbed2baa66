"""Lineage: which artifacts an artifact was made from, back to the sources."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from towpath.core.artifacts import Artifact, Store


@dataclass(frozen=True)
class Ancestor:
    """One line of a lineage: ``depth`` 0 is the artifact asked for. ``artifact`` is None when it is gone."""

    depth: int
    id: str
    artifact: Artifact | None


def ancestors(store: Store, artifact: Artifact) -> Iterator[Ancestor]:
    """``artifact`` and everything that it was made from, depth first; an artifact met again is left out."""
    known = {item.id: item for item in store.all()}
    yield from _walk(artifact.id, known | {artifact.id: artifact}, 0, set())


def _walk(identifier: str, known: Mapping[str, Artifact], depth: int, seen: set[str]) -> Iterator[Ancestor]:
    if identifier in seen:
        return
    seen.add(identifier)
    artifact = known.get(identifier)
    yield Ancestor(depth, identifier, artifact)
    for parent in artifact.parents if artifact else ():
        yield from _walk(parent, known, depth + 1, seen)
