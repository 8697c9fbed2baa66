"""``towpath run RUN``: the whole path from raw text to an assistant."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from towpath.core.artifacts import Artifact
    from towpath.recipes.path import Path as RunPath

SAY = ("hi! how are you today?", "what do you like to do for fun?")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments ``RUN [KEY=VALUE …]`` and ``--until``."""
    from towpath.cli.inputs import add_run_file

    add_run_file(parser)
    parser.add_argument(
        "--until", metavar="STAGE", help="stop after data, tokenizer, tokens, statistics, train or evaluate"
    )


def run(options: argparse.Namespace) -> int:
    """Walk the path, then say what was made, show a short chat and how to open the chat page."""
    from towpath.cli.inputs import artifact_facts, path_of, print_result
    from towpath.cli.memory import memory_planned
    from towpath.core.errors import ConfigError, did_you_mean
    from towpath.recipes.report import write_report
    from towpath.recipes.run_config import STAGES

    if options.until is not None and options.until not in STAGES:
        hint = did_you_mean(options.until, STAGES)
        raise ConfigError(f"--until {options.until}: no such stage.{hint} There are: {', '.join(STAGES)}.")
    path = path_of(options)
    _tell_plan(path, options.until)
    with memory_planned(path.config):
        for stage, seconds in _timed(path.walk(options.until)):
            print(f"{stage.name}: {stage.artifact.path} ({seconds:.0f} s)", file=sys.stderr)
    report = write_report(path)
    facts = {name: artifact_facts(artifact) for name, artifact in path.made.items()}
    print_result(options, facts, _ending(path, report))
    return 0


def _tell_plan(path: RunPath, until: str | None) -> None:
    """Say what training will take, keep the plan for the report, and warn of what there is too little of.

    Time is told where ``towpath plan`` measured this machine before. A run that goes on was told already.
    """
    from towpath.core.config import identity
    from towpath.core.errors import ConfigError
    from towpath.core.files import readable_json, write_durably
    from towpath.plan.machine import calibration_of_before
    from towpath.plan.plan import make_plan
    from towpath.plan.trial import tried
    from towpath.plan.words import short, warnings
    from towpath.recipes.report import PLAN
    from towpath.recipes.run_config import STAGES

    stages = path.stages()
    last = until or stages[-1]
    if STAGES.index(last) < STAGES.index("train") or "train" not in stages:  # pyright: ignore[reportArgumentType]
        return
    home, place = path.store.home, path.run.path / PLAN
    planned = {"config": identity(path.config)}
    if place.exists() and json.loads(place.read_bytes()).get("config") == planned["config"]:
        return
    try:
        machine = calibration_of_before(home, path.config.train.threads)
        model = path.config.model.for_tokenizer(path.config.tokenizer.vocab_size)
        if machine is not None:
            machine = tried(home, machine, model, path.config.train, run=False)
        plan = make_plan(path.config, home, machine)
    except ConfigError as error:
        print(f"plan: {error}", file=sys.stderr)
        return
    print(short(plan), file=sys.stderr)
    for warning in warnings(plan):
        print(f"plan: {warning} See what would fit: towpath plan", file=sys.stderr)
    path.run.path.mkdir(parents=True, exist_ok=True)
    write_durably(place, readable_json({**plan.facts(), **planned}))


def _timed(stages: Any) -> Any:
    start = time.monotonic()
    for stage in stages:
        yield stage, time.monotonic() - start
        start = time.monotonic()


def _ending(path: RunPath, report: Path) -> str:
    """What a person wants to see at the end of a run."""
    from towpath.data.statistics_page import PAGE
    from towpath.evaluate.scores import table

    lines: list[str] = []
    if scores := path.made.get("evaluate"):
        lines += ["", table(json.loads((scores.path / "scores.json").read_bytes()))]
    if assistant := path.made.get("tune"):
        lines += ["", "A short chat with the model just trained:", "", _chat(assistant)]
    lines += ["", "Written:"]
    lines += [f"  {name:<12}{artifact.path}" for name, artifact in path.made.items()]
    if statistics := path.made.get("statistics"):
        lines += [f"  {'':<12}{statistics.path / PAGE}"]
    lines += [f"  {'report':<12}{report}"]
    if assistant := path.made.get("tune"):
        lines += ["", f"Open the chat page: {sys.argv[0]} serve {assistant.path}"]
    return "\n".join(lines)


def _chat(assistant: Artifact) -> str:
    from towpath.cli.chat import conversation
    from towpath.train.checkpoint import Checkpoint

    turns = conversation(Checkpoint.open(assistant.path).load(), list(SAY), temperature=0.7, seed=0)
    return "\n".join(
        f"  {'you' if turn['role'] == 'user' else 'model':>5}: {turn['content']}" for turn in turns
    )
