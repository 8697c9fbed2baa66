"""The command line: one file a verb. Results on standard output, progress on standard error.

Exit status 0 done, 1 failed, 2 used wrongly. A verb's module gives ``SUMMARY``, ``add_arguments``
and ``run``; it imports what is heavy inside ``run``, so that ``--help`` is quick.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from towpath import __version__
from towpath.core.errors import TowpathError, did_you_mean

VERBS = {
    "doctor": "check this machine: hardware, versions, disk",
    "recipe": "print a run file to start from",
    "config": "check, show, compare or describe run files",
    "plan": "what a run takes, before anything is spent: memory, disk, time, cost, loss",
    "run": "the whole path; finished stages are found, not repeated",
    "data": "sources to clean, deduplicated documents",
    "tokenizer": "documents to a tokenizer and token shards",
    "train": "token shards to a checkpoint",
    "launch": "train as a job of several processes: here, Slurm, SkyPilot, Kubernetes",
    "evaluate": "a checkpoint to scores",
    "tune": "a checkpoint to an assistant",
    "generate": "continue a text",
    "chat": "talk with an assistant in the terminal",
    "serve": "an HTTP server with a chat page",
    "trace": "where an artifact, an answer or a sample came from",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb. Returns the exit status."""
    # Threads that wait by spinning take the cores from those they wait for. Two threads of a training
    # step beside one busy process: 2,500 tokens/s spinning, 5,100 sleeping. Read when torch is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    words = list(sys.argv[1:] if arguments is None else arguments)
    verb = next((word for word in words if not word.startswith("-")), None)
    parser = _parser(verb)
    if verb is not None and verb not in VERBS:
        parser.error(f"there is no verb {verb!r}.{did_you_mean(verb, VERBS)} All: towpath --help")
    options = _parsed(parser, _with_action(words, verb))
    if options.verb is None:
        parser.print_help()
        return 2
    try:
        return importlib.import_module(f"towpath.cli.{options.verb}").run(options)
    except TowpathError as error:
        if options.debug:
            raise
        print(error, file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("stopped.", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


class _Parser(argparse.ArgumentParser):
    """argparse's parser, which also says what to give where a run file is missing."""

    def error(self, message: str) -> NoReturn:
        """See ``argparse.ArgumentParser.error``."""
        if message.endswith("required: RUN"):
            message += ", a run file or a recipe. Write one with: towpath recipe tiny > run.toml"
        super().error(message)


def _parsed(parser: argparse.ArgumentParser, words: list[str]) -> argparse.Namespace:
    """The options in ``words``; settings may stand behind options too, where argparse loses them."""
    options, left = parser.parse_known_args(words)
    takes_settings = hasattr(options, "overrides")
    strange = [word for word in left if not takes_settings or word.startswith("-") or "=" not in word]
    if strange:
        hint = " Settings are written KEY=VALUE, without --." if takes_settings else ""
        parser.error(f"unrecognized arguments: {' '.join(strange)}.{hint}")
    if left:
        options.overrides = [*options.overrides, *left]
    return options


def _with_action(words: list[str], verb: str | None) -> list[str]:
    """``words`` with the action that a verb does when none is named: ``data run.toml`` makes documents."""
    if verb not in VERBS:
        return words
    module = importlib.import_module(f"towpath.cli.{verb}")
    place = words.index(verb) + 1
    named = words[place : place + 1]
    if not named or named[0].startswith("-") or not hasattr(module, "DEFAULT_ACTION"):
        return words
    return words if named[0] in module.ACTIONS else [*words[:place], module.DEFAULT_ACTION, *words[place:]]


def _parser(verb: str | None) -> argparse.ArgumentParser:
    """The parser; only the verb at hand is given its arguments, so that no other is imported."""
    parser = _Parser(
        prog="towpath",
        description="From raw text to a served language model.",
        epilog="Start with: towpath run tiny",
    )
    parser.add_argument("--version", action="version", version=f"towpath {__version__}")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", title="verbs")
    for name, summary in VERBS.items():
        one = verbs.add_parser(name, help=summary, description=summary[0].upper() + summary[1:] + ".")
        if name == verb:
            module = importlib.import_module(f"towpath.cli.{name}")
            module.add_arguments(one)
        _add_everywhere(one)
    return parser


def _add_everywhere(parser: argparse.ArgumentParser) -> None:
    """Give ``--json`` and ``--debug`` to a verb, or to each of its actions."""
    actions = [item for item in parser._actions if isinstance(item, argparse._SubParsersAction)]
    for inner in (choice for action in actions for choice in action.choices.values()):
        _add_everywhere(inner)
    if not actions:
        parser.add_argument("--json", action="store_true", help="print the result as JSON")
        parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
