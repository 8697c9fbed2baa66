"""``towpath recipe NAME``: print a run file to start from."""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Argument ``NAME``, optional."""
    parser.add_argument("name", metavar="NAME", nargs="?", help="which one; without it, all are listed")


def run(options: argparse.Namespace) -> int:
    """Print the recipe, or the list."""
    from towpath.cli.inputs import print_result
    from towpath.core.runfile import to_toml
    from towpath.recipes import RECIPES, recipe, summary

    if options.name is None:
        summaries = {name: summary(name) for name in RECIPES}
        print_result(options, summaries, "\n".join(f"{name:<16}{text}" for name, text in summaries.items()))
        return 0
    config = recipe(options.name)
    print_result(options, config.model_dump(mode="json"), to_toml(config).rstrip("\n"))
    return 0
