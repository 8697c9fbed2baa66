"""``towpath tune sft RUN``: fine-tune into an assistant; ``--preview`` shows what is trained."""

from __future__ import annotations

import argparse
import sys

from towpath.core.errors import ConfigError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The method and ``RUN [KEY=VALUE …]``."""
    from towpath.cli.inputs import add_run_file

    methods = parser.add_subparsers(dest="method", metavar="METHOD", required=True)
    sft = methods.add_parser("sft", help="supervised fine-tuning on conversations")
    add_run_file(sft)
    sft.add_argument(
        "--preview",
        type=int,
        nargs="?",
        const=2,
        metavar="N",
        help="show N examples with what is trained marked",
    )


def run(options: argparse.Namespace) -> int:
    """Make the assistant, or show examples."""
    from towpath.cli.inputs import artifact_facts, path_of, print_result

    path = path_of(options)
    if path.config.tune.sft is None:
        raise ConfigError(
            f"{options.run_file}: there is no table [tune.sft]. Add one; an empty one has good defaults."
        )
    if options.preview is not None:
        return _preview(options)
    assistant = path.upto("tune")
    text = f"Assistant is in {assistant.path}\nTalk with it: towpath chat {assistant.path}"
    print_result(options, artifact_facts(assistant), text)
    return 0


def _preview(options: argparse.Namespace) -> int:
    from towpath.cli.inputs import path_of, print_result
    from towpath.data import Documents
    from towpath.tokenizer import Tokenizer
    from towpath.tune.conversations import examples, preview

    path = path_of(options)
    tokenizer = Tokenizer.load(path.upto("tokenizer").path)
    sft = path.config.tune.sft
    assert sft is not None
    limit = min(sft.max_length, path.config.model.n_positions + 1)
    found = examples(Documents(path.made["data"]), "train", sft.sources, sft.template, tokenizer, limit)
    shown = [preview(item, tokenizer, color=sys.stdout.isatty()) for item in found[: options.preview]]
    trained = sum(int(item.trained.sum()) for item in found)
    tokens = sum(len(item.ids) for item in found)
    facts = {"examples": len(found), "tokens": tokens, "trained_tokens": trained, "shown": shown}
    head = f"{len(found):,} examples, {tokens:,} tokens, {trained:,} of them trained (marked):"
    print_result(options, facts, "\n\n".join([head, *shown]))
    return 0
