"""``towpath generate CHECKPOINT TEXT``: continue a text."""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The checkpoint, the text and how to sample."""
    from towpath.cli.inputs import add_checkpoint

    add_checkpoint(parser)
    parser.add_argument("prompt", metavar="TEXT", help="what the model continues")
    parser.add_argument("--max-length", type=int, default=100, help="most tokens, with the prompt's (100)")
    parser.add_argument(
        "--temperature", type=float, default=0.8, help="0 takes the likeliest token (default 0.8)"
    )
    parser.add_argument("--top-k", type=int, help="sample from this many of the likeliest tokens")
    parser.add_argument("--top-p", type=float, default=1.0, help="sample from this share of the probability")
    parser.add_argument("--seed", type=int, default=0, help="the same seed gives the same text (default 0)")


def run(options: argparse.Namespace) -> int:
    """Print the text and its continuation."""
    from towpath.cli.inputs import find_checkpoint, print_result
    from towpath.model.text import generate_text

    loaded = find_checkpoint(options.checkpoint).load()
    text = generate_text(
        loaded.model,
        loaded.tokenizer,
        options.prompt,
        max_length=options.max_length,
        temperature=options.temperature,
        top_k=options.top_k,
        top_p=options.top_p,
        seed=options.seed,
    )
    print_result(options, {"checkpoint": loaded.id, "prompt": options.prompt, "generated_text": text}, text)
    return 0
