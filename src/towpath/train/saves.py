"""Saved training states: written whole or not at all, verified when read, the newest good one wins.

``checkpoints/step-000500/``: model.safetensors, optimizer.safetensors, random.safetensors,
state.json, manifest.json. A save is a temporary folder, flushed, sealed by a manifest of digests
and renamed; older ones go only after that.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Mapping
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


def random_state() -> dict[str, Tensor]:
    """The state of torch's generators, CPU and every GPU."""
    states = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        states |= {f"cuda:{i}": state for i, state in enumerate(torch.cuda.get_rng_state_all())}
    return states


def set_random_state(states: Mapping[str, Tensor]) -> None:
    """Take back what ``random_state`` gave."""
    for device, state in states.items():
        if device == "cpu":
            torch.set_rng_state(state)
        elif torch.cuda.is_available():
            torch.cuda.set_rng_state(state, device)


def save_state(folder: Path, state: TrainingState, keep: int) -> Path:
    """Write ``state`` below ``folder`` and leave the ``keep`` newest. Returns the folder of the save.

    Raises:
        DiskFullError: no room; every earlier save is untouched.
    """
    final = folder / f"{_PREFIX}{state.step:06d}"
    partial = folder / (final.name + _PARTIAL)
    shutil.rmtree(partial, ignore_errors=True)
    try:
        with disk_full_explained(folder):
            partial.mkdir(parents=True)
            _write(partial, state)
            partial.rename(final)
            fsync_path(folder)
    except DiskFullError:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    _prune(folder, keep)
    return final


def _write(folder: Path, state: TrainingState) -> None:
    parts = {"model": state.model, "optimizer": state.optimizer, "random": state.random}
    for name, tensors in parts.items():
        _save_tensors(folder / f"{name}.safetensors", tensors)
    (folder / "state.json").write_bytes(readable_json({"step": state.step, **state.facts}))
    seal(folder, {"kind": "training state", "step": state.step})


def _save_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
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


def newest_good_state(folder: Path) -> TrainingState | None:
    """The newest save whose every byte is as written; a damaged one is set aside, and said."""
    for leftover in folder.glob(f"{_PREFIX}*{_PARTIAL}"):
        shutil.rmtree(leftover, ignore_errors=True)
    for path in saved_folders(folder):
        try:
            return _read(path)
        except ArtifactError as error:
            print(f"train: {error}", file=sys.stderr)
            print(f"train: {path.name} is set aside; an older checkpoint is tried.", file=sys.stderr)
            path.rename(path.with_name(f"{path.name}.damaged"))
    return None


def _read(path: Path) -> TrainingState:
    manifest = read_manifest(path)
    if manifest is None:
        raise ArtifactError(f"{path} has no manifest.")
    verify(path, manifest)
    facts = json.loads((path / "state.json").read_bytes())
    tensors = {name: load_file(path / f"{name}.safetensors") for name in ("model", "optimizer", "random")}
    return TrainingState(facts["step"], tensors["model"], tensors["optimizer"], tensors["random"], facts)
