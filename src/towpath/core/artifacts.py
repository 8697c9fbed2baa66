"""Artifacts: folders that a stage makes once, addressed by what they mean.

An artifact's id is a hash of its kind, the settings that change its meaning and its parents' ids;
not of the code or the clock. Asking for a finished artifact again returns it. A killed attempt
leaves a folder without a manifest; the next attempt goes on in it.
"""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from towpath import __version__
from towpath.core.errors import ArtifactError, did_you_mean
from towpath.core.files import (
    MANIFEST,
    canonical_json,
    fsync_path,
    read_manifest,
    seal,
    verify,
    write_durably,
)
from towpath.core.locks import locked
from towpath.core.processes import is_first

ID_LENGTH = 16
FOLDER_ID_LENGTH = 8
_DONE = "done"
_LOOK_SECONDS = 0.5
"""Between two looks for what another process is making."""


@dataclass(frozen=True)
class Artifact:
    """A finished artifact. ``config`` and ``parents`` say where it came from."""

    path: Path
    kind: str
    name: str
    id: str
    config: Mapping[str, Any]
    parents: tuple[str, ...]
    files: Mapping[str, Mapping[str, Any]]
    counts: Mapping[str, Any]
    licences: tuple[str, ...]

    @classmethod
    def from_manifest(cls, path: Path, manifest: Mapping[str, Any]) -> Artifact:
        """The artifact in ``path`` as its manifest describes it."""
        return cls(
            path=path,
            kind=manifest["kind"],
            name=manifest["name"],
            id=manifest["id"],
            config=manifest["config"],
            parents=tuple(manifest["parents"]),
            files=manifest["files"],
            counts=manifest["counts"],
            licences=tuple(manifest["licences"]),
        )


@dataclass
class Draft:
    """An artifact in the making: fill ``path``, then return.

    A stage that takes long marks its parts done, and skips them when it is started again.
    """

    path: Path
    counts: dict[str, Any] = field(default_factory=dict)
    licences: list[str] = field(default_factory=list)

    def is_done(self, part: str) -> bool:
        """Whether an earlier attempt finished ``part``."""
        return (self.path / _DONE / part).exists()

    def mark_done(self, part: str, fact: str = "") -> None:
        """Record that every file of ``part`` is written and flushed, and a ``fact`` about them."""
        folder = self.path / _DONE
        folder.mkdir(exist_ok=True)
        write_durably(folder / part, fact.encode())

    def fact_of(self, part: str) -> str | None:
        """What an earlier attempt recorded of ``part``; None when it did not finish it."""
        try:
            return (self.path / _DONE / part).read_text()
        except FileNotFoundError:
            return None


def artifact_id(kind: str, config: Mapping[str, Any], parents: Sequence[str]) -> str:
    """The id of what ``config`` makes out of ``parents``: the start of a SHA-256, hexadecimal."""
    meaning = {"kind": kind, "config": config, "parents": list(parents)}
    return hashlib.sha256(canonical_json(meaning)).hexdigest()[:ID_LENGTH]


class Store:
    """The artifacts below one home folder."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.folder = home / "artifacts"
        self._verified: set[Path] = set()

    def make(
        self,
        kind: str,
        name: str,
        config: Mapping[str, Any],
        parents: Sequence[Artifact | str],
        write: Callable[[Draft], None],
    ) -> Artifact:
        """The artifact that ``config`` makes out of ``parents``; ``write`` is called while there is none.

        Of a job of several processes the first one makes it and the others wait for it.

        A parent is an artifact, or the id of one that ``write`` makes when it comes to that.

        Raises:
            LockedError: another process is making the same artifact.
            ArtifactError: it is there and damaged.
        """
        ids = [parent if isinstance(parent, str) else parent.id for parent in parents]
        identifier = artifact_id(kind, config, ids)
        if not is_first():
            return self._awaited(kind, name, identifier)
        path = self._folder_of(kind, name, identifier)
        if (path / MANIFEST).exists():
            return self._open_folder(path)
        with locked(self.folder / ".locks" / f"{kind}-{identifier}", f"{kind} {path.name}"):
            if (path / MANIFEST).exists():
                return self._open_folder(path)
            draft, path = path, self._place(kind, name, identifier)
            if draft.exists():
                draft.rename(path)  # a run of another name began it
            self._write(path, kind, identifier, config, ids, write)
        return self._open_folder(path, check=False)

    def _write(
        self,
        path: Path,
        kind: str,
        identifier: str,
        config: Mapping[str, Any],
        parents: list[str],
        write: Callable[[Draft], None],
    ) -> None:
        if not (path / _DONE).is_dir():  # no part of an earlier attempt is known to be whole
            shutil.rmtree(path, ignore_errors=True)
        path.mkdir(parents=True, exist_ok=True)
        draft = Draft(path)
        write(draft)
        shutil.rmtree(path / _DONE, ignore_errors=True)
        for leftover in path.rglob("*.partial"):
            leftover.unlink()
        facts = {
            "kind": kind,
            "name": path.name.rpartition("-")[0],
            "id": identifier,
            "maker": f"towpath {__version__}",
            "config": config,
            "parents": parents,
            "counts": draft.counts,
            "licences": sorted(set(draft.licences)),
        }
        seal(path, facts)
        fsync_path(path.parent)

    def has(self, kind: str, name: str, identifier: str) -> bool:
        """Whether the artifact is finished."""
        return (self._folder_of(kind, name, identifier) / MANIFEST).exists()

    def _awaited(self, kind: str, name: str, identifier: str) -> Artifact:
        """What the first process of this job is making, once it is there."""
        while not self.has(kind, name, identifier):
            time.sleep(_LOOK_SECONDS)
        return self._open_folder(self._folder_of(kind, name, identifier), check=False)

    def _folder_of(self, kind: str, name: str, identifier: str) -> Path:
        """Of what is there already, under whatever name, a finished one rather than a draft."""
        known = list((self.folder / kind).glob(f"*-{identifier[:FOLDER_ID_LENGTH]}"))
        known.sort(key=lambda path: not (path / MANIFEST).exists())
        return known[0] if known else self._place(kind, name, identifier)

    def _place(self, kind: str, name: str, identifier: str) -> Path:
        return self.folder / kind / f"{name}-{identifier[:FOLDER_ID_LENGTH]}"

    def open(self, reference: str | Path, kind: str | None = None) -> Artifact:
        """The finished artifact that ``reference`` means: a folder, an id or its start, or a name.

        Every file is compared with its digest, once in a process.

        Raises:
            ArtifactError: none or several fit, it is unfinished, damaged, or not of ``kind``.
        """
        artifact = self._open_folder(self._resolve(str(reference), kind))
        if kind is not None and artifact.kind != kind:
            raise ArtifactError(f"{artifact.path} is a {artifact.kind}; a {kind} is needed here.")
        return artifact

    def all(self, kind: str | None = None) -> Iterator[Artifact]:
        """Every finished artifact, unverified, sorted by folder."""
        for path in sorted(self.folder.glob(f"{kind or '[!.]*'}/*/{MANIFEST}")):
            manifest = read_manifest(path.parent)
            if manifest is not None:
                yield Artifact.from_manifest(path.parent, manifest)

    def _resolve(self, reference: str, kind: str | None) -> Path:
        if Path(reference).is_dir():
            return Path(reference)
        known = list(self.all(kind))
        fits = [
            item.path
            for item in known
            if item.id.startswith(reference)
            or reference in (item.path.name, item.name, f"{item.kind}/{item.path.name}")
        ]
        if len(fits) == 1:
            return fits[0]
        what = kind or "artifact"
        if fits:
            shown = ", ".join(str(path) for path in fits)
            raise ArtifactError(f"{reference!r} means more than one {what}: {shown}. Give more of the id.")
        names = [name for item in known for name in (item.path.name, item.name)]
        raise ArtifactError(
            f"No {what} {reference!r} below {self.folder}.{did_you_mean(reference, names)} "
            f"There are: {', '.join(item.path.name for item in known) or 'none yet'}."
        )

    def _open_folder(self, path: Path, *, check: bool = True) -> Artifact:
        manifest = read_manifest(path)
        if manifest is None:
            raise ArtifactError(
                f"{path} is unfinished. {self._progress_of(path)}Run the command that makes it again."
            )
        if check and path not in self._verified:
            verify(path, manifest)
        self._verified.add(path)
        return Artifact.from_manifest(path, manifest)

    def _progress_of(self, path: Path) -> str:
        done = path / _DONE
        return f"{len(list(done.iterdir()))} of its parts are done. " if done.is_dir() else ""
