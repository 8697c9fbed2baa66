"""``towpath chat CHECKPOINT``: talk with an assistant in the terminal."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from towpath.train.checkpoint import Loaded


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The checkpoint and how to sample."""
    from towpath.cli.inputs import add_checkpoint

    add_checkpoint(parser)
    parser.add_argument(
        "--say", action="append", metavar="TEXT", help="say this instead of asking; may be repeated"
    )
    parser.add_argument(
        "--temperature", type=float, default=0.7, help="0 takes the likeliest token (default 0.7)"
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="the same seed gives the same answers (default 0)"
    )


def run(options: argparse.Namespace) -> int:
    """Read turns from the arguments, the terminal or a pipe; answer each."""
    from towpath.cli.inputs import find_checkpoint, print_result, require_template

    checkpoint = find_checkpoint(options.checkpoint)
    require_template(checkpoint)
    loaded = checkpoint.load()
    if options.say:
        turns = conversation(loaded, options.say, options.temperature, options.seed)
        text = "\n".join(
            f"{'you' if turn['role'] == 'user' else 'model':>5}: {turn['content']}" for turn in turns
        )
        print_result(options, {"checkpoint": loaded.id, "messages": turns}, text)
        return 0
    print(f"Talking with {loaded.name}. An empty line or Ctrl-D ends it.", file=sys.stderr)
    _talk(loaded, options)
    return 0


def conversation(loaded: Loaded, said: list[str], temperature: float, seed: int) -> list[dict[str, str]]:
    """The turns of a chat in which a person says ``said`` one after the other.

    A turn for which the context has no room left begins a new conversation.

    Raises:
        ModelError: one turn alone is longer than the context.
    """
    from towpath.core.errors import ModelError
    from towpath.data import Message
    from towpath.tune.chat import reply

    assert loaded.template is not None
    shown: list[Message] = []
    turns: list[Message] = []
    for number, text in enumerate(said):
        turns = [*turns, Message("user", text)]
        sampling = {"temperature": temperature, "seed": seed + number}
        try:
            answer = reply(loaded.model, loaded.tokenizer, loaded.template, turns, **sampling)
        except ModelError:
            turns = turns[-1:]
            answer = reply(loaded.model, loaded.tokenizer, loaded.template, turns, **sampling)
        turns.append(Message("assistant", answer))
        shown += turns[-2:]
    return [{"role": turn.role, "content": turn.content} for turn in shown]


def _talk(loaded: Loaded, options: argparse.Namespace) -> None:
    from towpath.core.errors import ModelError
    from towpath.data import Message
    from towpath.tune.chat import stream_reply

    assert loaded.template is not None
    turns: list[Message] = []
    while text := _ask():
        turns.append(Message("user", text))
        try:
            pieces = stream_reply(
                loaded.model,
                loaded.tokenizer,
                loaded.template,
                turns,
                temperature=options.temperature,
                seed=options.seed + len(turns),
            )
            answer = ""
            for piece in pieces:
                print(piece, end="", flush=True)
                answer += piece
            print()
            turns.append(Message("assistant", answer))
        except ModelError as error:
            print(f"{error}\nStarting a new conversation.", file=sys.stderr)
            turns = []


def _ask() -> str:
    try:
        return input("> " if sys.stdin.isatty() else "").strip()
    except EOFError:
        return ""
