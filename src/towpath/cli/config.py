"""``towpath config check|show|diff|schema``: look at run files before anything is spent."""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """An action and its run file."""
    from towpath.cli.inputs import add_run_file

    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    add_run_file(actions.add_parser("check", help="say whether a run file can be run as written"))
    add_run_file(
        actions.add_parser("show", help="every setting with its value and where the value came from")
    )
    diff = actions.add_parser("diff", help="settings in which two run files differ")
    diff.add_argument("run_file", metavar="RUN")
    diff.add_argument("other", metavar="OTHER")
    actions.add_parser("schema", help="JSON Schema of the run file, for editors")


def run(options: argparse.Namespace) -> int:
    """Do the action."""
    return {"check": _check, "show": _show, "diff": _diff, "schema": _schema}[options.action](options)


def _check(options: argparse.Namespace) -> int:
    from towpath.cli.inputs import print_result, read_run_file

    config = read_run_file(options).config
    print_result(options, config.model_dump(mode="json"), f"{options.run_file} is good: run {config.name!r}.")
    return 0


def _show(options: argparse.Namespace) -> int:
    from towpath.cli.inputs import print_result, read_run_file
    from towpath.core.runfile import rows

    settings = rows(read_run_file(options))
    facts = [{"key": key, "value": _plain(value), "origin": origin} for key, value, origin in settings]
    width = max(len(key) for key, _, _ in settings)
    lines = [f"{key:<{width}}  {value!r:<28}  {origin}" for key, value, origin in settings]
    print_result(options, facts, "\n".join(lines))
    return 0


def _diff(options: argparse.Namespace) -> int:
    from towpath.cli.inputs import print_result, read_run_file
    from towpath.core.runfile import rows

    left, right = (
        {key: value for key, value, _ in rows(read_run_file(argparse.Namespace(**facts)))}
        for facts in (
            {"verb": "config diff", "run_file": place, "overrides": []}
            for place in (options.run_file, options.other)
        )
    )
    keys = [key for key in {**left, **right} if left.get(key) != right.get(key)]
    facts = [{"key": key, "left": _plain(left.get(key)), "right": _plain(right.get(key))} for key in keys]
    text = "\n".join(f"{key}: {left.get(key)!r} → {right.get(key)!r}" for key in keys) or "no difference"
    print_result(options, facts, text)
    return 0


def _schema(options: argparse.Namespace) -> int:
    from towpath.core.runfile import json_schema
    from towpath.recipes.run_config import RunConfig

    print(json_schema(RunConfig), end="")
    return 0


def _plain(value: object) -> object:
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
