"""What most verbs begin with: a run file or recipe with overrides, the store, a checkpoint."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from towpath.core.errors import ArtifactError, ConfigError, did_you_mean

if TYPE_CHECKING:
    from towpath.core.artifacts import Artifact, Store
    from towpath.core.runfile import RunFile
    from towpath.recipes.path import Path as RunPath
    from towpath.recipes.run_config import RunConfig
    from towpath.train.checkpoint import Checkpoint


def add_run_file(parser: argparse.ArgumentParser) -> None:
    """Arguments ``RUN [KEY=VALUE …]``."""
    parser.add_argument("run_file", metavar="RUN", help="a run file (.toml) or the name of a recipe")
    parser.add_argument(
        "overrides",
        metavar="KEY=VALUE",
        nargs="*",
        default=[],
        help="change a setting, for example train.max_steps=200",
    )


def read_run_file(options: argparse.Namespace) -> RunFile[RunConfig]:
    """The run file that the options name, with the overrides applied."""
    from towpath.core import runfile
    from towpath.recipes import RECIPES, recipe
    from towpath.recipes.run_config import RunConfig

    place = options.run_file
    if not Path(place).exists() and place in RECIPES:
        return runfile.parse(RunConfig, runfile.to_toml(recipe(place)), f"recipe {place}", options.overrides)
    if not Path(place).exists() and "=" in place:
        raise ConfigError(
            f"{place!r} stands where a run file is expected: towpath {options.verb} run.toml {place}"
        )
    if not Path(place).exists() and (near := did_you_mean(place, RECIPES)):
        raise ConfigError(f"{place!r} is neither a file nor a recipe.{near}")
    return runfile.load(RunConfig, Path(place), options.overrides)


def open_store() -> Store:
    """The artifacts below ``$TOWPATH_HOME``."""
    from towpath.core.artifacts import Store
    from towpath.core.runs import home_folder

    return Store(home_folder())


def path_of(options: argparse.Namespace) -> RunPath:
    """The path that the options' run file describes."""
    from towpath.recipes.path import Path as RunPath

    return RunPath(read_run_file(options).config, open_store())


def add_checkpoint(parser: argparse.ArgumentParser) -> None:
    """Argument ``CHECKPOINT``."""
    parser.add_argument(
        "checkpoint",
        metavar="CHECKPOINT",
        help="a checkpoint's folder, name or the start of its id, or a run's name",
    )


def find_checkpoint(reference: str) -> Checkpoint:
    """The checkpoint that ``reference`` means; of a run's name, the last that the run made.

    Raises:
        ArtifactError: there is none, or several fit.
    """
    from towpath.train.checkpoint import KIND, Checkpoint

    store = open_store()
    artifact = last_checkpoint(store, reference) or store.open(reference, KIND)
    return Checkpoint.open(artifact.path)


def last_checkpoint(store: Store, run: str) -> Artifact | None:
    """What the run called ``run`` made or found last, the assistant before the pre-trained checkpoint.

    Of runs that recorded nothing, the newest of that name.
    """
    from towpath.core.artifacts import Artifact
    from towpath.core.files import MANIFEST, read_manifest
    from towpath.core.runs import made_by
    from towpath.train.checkpoint import KIND

    made = made_by(store.home / "runs" / run)
    for place in (store.folder / made[stage] for stage in ("tune", "train") if stage in made):
        if (manifest := read_manifest(place)) is not None:
            return Artifact.from_manifest(place, manifest)
    for name in (f"{run}-chat", run):
        fits = [item for item in store.all(KIND) if item.name == name]
        if fits:
            return max(fits, key=lambda item: (item.path / MANIFEST).stat().st_mtime_ns)
    return None


def require_template(checkpoint: Checkpoint) -> None:
    """Refuse a checkpoint that was never tuned to chat."""
    if checkpoint.facts.get("template_sha256") is None:
        raise ArtifactError(
            f"{checkpoint.name} was not tuned to chat. Continue a text with: "
            f'towpath generate {checkpoint.name} "Once upon a time", or tune it: '
            "a table [tune.sft] in the run file, then: towpath tune sft run.toml"
        )


def print_result(options: argparse.Namespace, facts: Any, text: str) -> None:
    """``facts`` as JSON when asked for, else ``text``."""
    print(json.dumps(facts, indent=2, ensure_ascii=False) if options.json else text)
    sys.stdout.flush()


def artifact_facts(artifact: Artifact) -> dict[str, Any]:
    """What a verb prints of an artifact as JSON."""
    return {
        "kind": artifact.kind,
        "name": artifact.name,
        "id": artifact.id,
        "path": str(artifact.path),
        "counts": dict(artifact.counts),
    }
