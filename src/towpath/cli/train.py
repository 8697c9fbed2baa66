"""``towpath train RUN``: pre-train; killed and called again, it goes on."""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments ``RUN [KEY=VALUE …]`` and ``--dry-run``."""
    from towpath.cli.inputs import add_run_file

    add_run_file(parser)
    parser.add_argument("--dry-run", action="store_true", help="say what would be trained, and stop")


def run(options: argparse.Namespace) -> int:
    """Make the checkpoint."""
    from towpath.cli.inputs import artifact_facts, path_of, print_result, read_run_file
    from towpath.core.processes import is_first

    if options.dry_run:
        return _dry_run(options, read_run_file(options).config)
    checkpoint = path_of(options).upto("train")
    if not is_first():
        return 0
    text = f'Checkpoint is in {checkpoint.path}\nTry it: towpath generate {checkpoint.path} "The "'
    print_result(options, artifact_facts(checkpoint), text)
    return 0


def _dry_run(options: argparse.Namespace, config: object) -> int:
    from towpath.cli.inputs import print_result
    from towpath.recipes.sizes import sizes

    facts = sizes(config)  # pyright: ignore[reportArgumentType]
    print_result(options, facts, "\n".join(f"{name:<28}{value:>20,}" for name, value in facts.items()))
    return 0
