"""``towpath tokenizer RUN``: train the tokenizer and write token shards."""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments ``RUN [KEY=VALUE …]``."""
    from towpath.cli.inputs import add_run_file

    add_run_file(parser)


def run(options: argparse.Namespace) -> int:
    """Make tokenizer and shards; print sizes."""
    from towpath.cli.inputs import artifact_facts, path_of, print_result

    path = path_of(options)
    tokens = path.upto("tokens")
    tokenizer = path.made["tokenizer"]
    facts = {"tokenizer": artifact_facts(tokenizer), "tokens": artifact_facts(tokens)}
    counts = ", ".join(f"{name} {value:,}" for name, value in tokens.counts.items() if isinstance(value, int))
    print_result(
        options, facts, f"Tokenizer is in {tokenizer.path}\n{counts}\nToken shards are in {tokens.path}"
    )
    return 0
