"""``towpath train RUN``: pre-train; killed and called again, it goes on. ``--extend`` trains on, longer."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from towpath.core.errors import ConfigError

if TYPE_CHECKING:
    from towpath.recipes.path import Path as RunPath


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments ``RUN [KEY=VALUE …]``, ``--dry-run``, ``--extend`` and ``--scaling``."""
    from towpath.cli.inputs import add_run_file

    add_run_file(parser)
    parser.add_argument("--dry-run", action="store_true", help="say what would be trained, and stop")
    parser.add_argument(
        "--extend", type=int, metavar="TOKENS", help="train the finished model on at a context of so many"
    )
    parser.add_argument(
        "--scaling",
        choices=("yarn", "ntk", "linear", "none"),
        help="with --extend: how rotary positions are scaled; yarn",
    )


def run(options: argparse.Namespace) -> int:
    """Make the checkpoint, and with ``--extend`` the one of the longer context."""
    from towpath.cli.inputs import artifact_facts, path_of, print_result, read_run_file
    from towpath.cli.memory import memory_planned
    from towpath.core.processes import is_first

    _put_extension(options)
    if options.dry_run:
        return _dry_run(options, read_run_file(options).config)
    path = path_of(options)
    if options.extend is not None:
        return _extend(options, path)
    with memory_planned(path.config):
        checkpoint = path.upto("train")
    if not is_first():
        return 0
    text = f"Checkpoint is in {checkpoint.path}"
    if path.config.model.family != "encoder":
        text += f'\nTry it: towpath generate {checkpoint.path} "The "'
    print_result(options, artifact_facts(checkpoint), text)
    return 0


def _put_extension(options: argparse.Namespace) -> None:
    """``--extend`` and ``--scaling`` as the settings that they are."""
    if options.extend is None and options.scaling is not None:
        raise ConfigError(
            "--scaling belongs to --extend. Try: towpath train RUN --extend 4096 --scaling yarn"
        )
    for name, value in (("n_positions", options.extend), ("scaling", options.scaling)):
        if value is not None:
            options.overrides = [*options.overrides, f"train.extension.{name}={value}"]


def _extend(options: argparse.Namespace, path: RunPath) -> int:
    from towpath.cli.inputs import artifact_facts, print_result
    from towpath.core.processes import is_first
    from towpath.recipes.longer import curves_of, make_longer, table

    checkpoint = make_longer(path)
    if not is_first():
        return 0
    curves = curves_of(path, checkpoint)
    picture = path.run.stage("extend", checkpoint.id) / "per_position.html"
    text = f"{table(curves)}\n\nCheckpoint is in {checkpoint.path}\nCurves: {picture}"
    print_result(options, {**artifact_facts(checkpoint), "per_position": curves}, text)
    return 0


def _dry_run(options: argparse.Namespace, config: object) -> int:
    from towpath.cli.inputs import print_result
    from towpath.recipes.sizes import sizes

    facts = sizes(config)  # pyright: ignore[reportArgumentType]
    print_result(options, facts, "\n".join(f"{name:<28}{value:>20,}" for name, value in facts.items()))
    return 0
