"""Saved training states: written whole or not at all, verified when read, the newest good one wins.

``checkpoints/step-000500/``: model.safetensors, optimizer.safetensors, random.safetensors,
state.json, manifest.json. A save is a temporary folder, flushed, sealed by a manifest of digests
and renamed; older ones go only after that. Where each process holds a part of the tensors, the
first two are ``shard-*.safetensors`` instead; see ``towpath.train.parallel.shards``.
"""

from __future__ import annotations

import itertools
import json
import re
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from towpath.core.errors import ArtifactError, DiskFullError
from towpath.core.files import (
    disk_full_explained,
    fsync_path,
    read_manifest,
    readable_json,
    seal,
    verify,
)

_PARTIAL = ".partial"
_PREFIX = "step-"


@dataclass(frozen=True)
class TrainingState:
    """Everything that the rest of a run depends on. ``facts`` are plain JSON."""

    step: int
    model: Mapping[str, Tensor]
    optimizer: Mapping[str, Tensor]
    random: Mapping[str, Tensor]
    facts: Mapping[str, Any]


def random_state(device: torch.device | None = None) -> dict[str, Tensor]:
    """The state of torch's generators: the CPU's, and of ``device`` alone or of every GPU."""
    states = {"cpu": torch.get_rng_state()}
    if device is not None:
        if device.type == "cuda":
            states["cuda"] = torch.cuda.get_rng_state(device)
    elif torch.cuda.is_available():
        states |= {f"cuda:{i}": state for i, state in enumerate(torch.cuda.get_rng_state_all())}
    return states


def set_random_state(states: Mapping[str, Tensor]) -> None:
    """Take back what ``random_state`` gave."""
    for device, state in states.items():
        if device == "cpu":
            torch.set_rng_state(state)
        elif torch.cuda.is_available():
            torch.cuda.set_rng_state(state, device)


def save_checkpoint(folder: Path, state: TrainingState, keep: int) -> Path:
    """Write ``state`` below ``folder`` and leave the ``keep`` newest. Returns the folder of the save.

    Raises:
        DiskFullError: no room; every earlier save is untouched.
    """
    partial = partial_folder(folder, state.step)
    with no_partial_left(partial, size_bytes(state.model) + size_bytes(state.optimizer)):
        begin_save(partial)
        save_tensors(partial / "model.safetensors", state.model)
        save_tensors(partial / "optimizer.safetensors", state.optimizer)
        return finish_save(partial, state, keep)


def save_folder(folder: Path, step: int) -> Path:
    """Where the save of ``step`` lies."""
    return folder / f"{_PREFIX}{step:06d}"


def partial_folder(folder: Path, step: int) -> Path:
    """Where the save of ``step`` lies while it is written."""
    return save_folder(folder, step).with_name(f"{_PREFIX}{step:06d}{_PARTIAL}")


def size_bytes(tensors: Mapping[str, Tensor]) -> int:
    """What ``tensors`` take as a whole, also where this process holds a part of each."""
    return sum(value.numel() * value.element_size() for value in tensors.values())


@contextmanager
def no_partial_left(partial: Path, needed_bytes: int) -> Iterator[None]:
    """Say what does not fit on which volume when one is full, and leave nothing unfinished on it."""
    folder = partial.parent
    try:
        with disk_full_explained(folder):
            yield
    except DiskFullError as error:
        shutil.rmtree(partial, ignore_errors=True)
        there = next(path for path in (folder, *folder.parents) if path.exists())
        what, free = partial.name.removesuffix(_PARTIAL), shutil.disk_usage(there).free
        raise DiskFullError(
            f"{folder}: no space left on the device for the checkpoint {what}, which takes {needed_bytes:,} "
            f"bytes; {free:,} are free. Every earlier checkpoint is untouched. "
            "Free some space and run the same command again; it goes on from there."
        ) from error


def begin_save(partial: Path) -> None:
    """An empty folder to write a save into."""
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)


def finish_save(partial: Path, state: TrainingState, keep: int) -> Path:
    """Add random states and facts, seal, give the final name; older saves than the ``keep`` newest go."""
    folder = partial.parent
    final = folder / partial.name.removesuffix(_PARTIAL)
    save_tensors(partial / "random.safetensors", state.random)
    (partial / "state.json").write_bytes(readable_json({"step": state.step, **state.facts}))
    seal(partial, {"kind": "training state", "step": state.step})
    partial.rename(final)
    fsync_path(folder)
    _prune(folder, keep)
    return final


def save_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write safetensors; what the system says of a failure stays an ``OSError``."""
    try:
        save_file({name: value.detach().contiguous() for name, value in tensors.items()}, path)
    except SafetensorError as error:
        found = re.search(r"os error (\d+)", str(error))
        raise OSError(int(found[1]), str(error)) if found else error from error


def _prune(folder: Path, keep: int) -> None:
    for old in saved_folders(folder)[keep:]:
        shutil.rmtree(old, ignore_errors=True)


def saved_folders(folder: Path) -> list[Path]:
    """The complete saves below ``folder``, newest first, unverified."""
    found = [path for path in folder.glob(f"{_PREFIX}*") if path.name.removeprefix(_PREFIX).isdigit()]
    return sorted(found, key=lambda path: int(path.name.removeprefix(_PREFIX)), reverse=True)


@dataclass(frozen=True)
class Saved:
    """A save whose every byte is as written. ``facts`` are what was given, with the step."""

    path: Path
    facts: Mapping[str, Any]

    @property
    def step(self) -> int:
        """Optimizer updates that it holds."""
        return self.facts["step"]

    @property
    def is_sharded(self) -> bool:
        """Whether several processes wrote a part each."""
        return not (self.path / "model.safetensors").exists()

    def random(self) -> dict[str, Tensor]:
        """Its random states."""
        return load_file(self.path / "random.safetensors")

    def state(self) -> TrainingState:
        """All of it in memory, in one piece, whoever wrote it."""
        if self.is_sharded:
            from towpath.train.parallel.shards import whole_tensors

            tensors = whole_tensors(self.path)
            model = {name: value for name, value in tensors.items() if "/" not in name}
            optimizer = {name: value for name, value in tensors.items() if "/" in name}
        else:
            model, optimizer = (
                load_file(self.path / f"{part}.safetensors") for part in ("model", "optimizer")
            )
        return TrainingState(self.step, model, optimizer, self.random(), self.facts)


def newest_good_state(folder: Path) -> TrainingState | None:
    """The newest save whose every byte is as written; a damaged one is set aside, and said."""
    saved = newest_good_save(folder)
    return saved.state() if saved else None


def newest_good_save(folder: Path) -> Saved | None:
    """As ``newest_good_state``, its tensors not yet in memory."""
    for leftover in folder.glob(f"{_PREFIX}*{_PARTIAL}"):
        shutil.rmtree(leftover, ignore_errors=True)
    for path in saved_folders(folder):
        try:
            return _verified(path)
        except ArtifactError as error:
            print(f"train: {error}", file=sys.stderr)
            print(f"train: {path.name} is set aside; an older checkpoint is tried.", file=sys.stderr)
            path.rename(_aside(path))
    return None


def _aside(path: Path) -> Path:
    """Where the damaged save ``path`` goes; what was set aside before stays."""
    names = itertools.chain([".damaged"], (f".damaged-{number}" for number in itertools.count(2)))
    places = (path.with_name(path.name + name) for name in names)
    return next(place for place in places if not place.exists())


def _verified(path: Path) -> Saved:
    manifest = read_manifest(path)
    if manifest is None:
        raise ArtifactError(f"{path} has no manifest.")
    verify(path, manifest)
    return opened(path)


def opened(path: Path) -> Saved:
    """The save in ``path``, which was verified before."""
    return Saved(path, json.loads((path / "state.json").read_bytes()))
