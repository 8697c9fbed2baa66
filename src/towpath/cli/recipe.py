"""``towpath recipe NAME``: print a run file to start from; ``--depth N`` makes one of a single number."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from towpath.core.errors import ConfigError

if TYPE_CHECKING:
    from towpath.recipes.run_config import RunConfig


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments ``NAME``, ``--depth`` and ``--tokens-per-parameter``, all optional."""
    parser.add_argument("name", metavar="NAME", nargs="?", help="which one; without it, all are listed")
    parser.add_argument(
        "--depth", type=int, metavar="LAYERS", help="in place of a name: everything from the number of layers"
    )
    parser.add_argument(
        "--tokens-per-parameter", type=float, metavar="N", help="with --depth: how long to train; 20"
    )


def run(options: argparse.Namespace) -> int:
    """Print the recipe, or the list."""
    from towpath.cli.inputs import print_result
    from towpath.core.runfile import to_toml
    from towpath.recipes import RECIPES, summary

    config = _chosen(options)
    if config is None:
        summaries = {name: summary(name) for name in RECIPES}
        print_result(options, summaries, "\n".join(f"{name:<16}{text}" for name, text in summaries.items()))
        return 0
    print_result(options, config.model_dump(mode="json"), to_toml(config).rstrip("\n"))
    return 0


def _chosen(options: argparse.Namespace) -> RunConfig | None:
    """The recipe that is asked for; None: the list is."""
    from towpath.recipes import recipe
    from towpath.recipes.dial import TOKENS_PER_PARAMETER, dialled

    if options.depth is None:
        if options.tokens_per_parameter is not None:
            raise ConfigError("--tokens-per-parameter belongs to --depth. Try: towpath recipe --depth 12")
        return None if options.name is None else recipe(options.name)
    if options.name is not None:
        raise ConfigError(
            f"A recipe by name ({options.name}) and one by --depth {options.depth} are two. Ask for one."
        )
    tokens = options.tokens_per_parameter
    return dialled(options.depth, TOKENS_PER_PARAMETER if tokens is None else tokens)
