"""``towpath evaluate RUN``: perplexity and bits per byte of every source, on what was held out."""

from __future__ import annotations

import argparse
import json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments ``RUN [KEY=VALUE …]``."""
    from towpath.cli.inputs import add_run_file

    add_run_file(parser)


def run(options: argparse.Namespace) -> int:
    """Make the scores and print them."""
    from towpath.cli.inputs import path_of, print_result
    from towpath.evaluate.scores import table

    artifact = path_of(options).upto("evaluate")
    scores = json.loads((artifact.path / "scores.json").read_bytes())
    print_result(options, scores, f"{table(scores)}\nScores are in {artifact.path}")
    return 0
