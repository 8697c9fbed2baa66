"""``towpath data RUN``: read, clean, deduplicate and hold out documents."""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments ``RUN [KEY=VALUE …]``."""
    from towpath.cli.inputs import add_run_file

    add_run_file(parser)


def run(options: argparse.Namespace) -> int:
    """Make the documents and print the drop waterfall."""
    from towpath.cli.inputs import artifact_facts, path_of, print_result
    from towpath.data import waterfall_table

    documents = path_of(options).upto("data")
    print_result(
        options, artifact_facts(documents), f"{waterfall_table(documents)}\nDocuments are in {documents.path}"
    )
    return 0
