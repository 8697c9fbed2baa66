"""``towpath plan RUN``: what a run takes, before anything is spent."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments ``RUN [KEY=VALUE …]``, ``--prices``, ``--measure``, ``--no-measure``."""
    from towpath.cli.inputs import add_run_file

    add_run_file(parser)
    parser.add_argument("--prices", metavar="FILE", type=Path, help="a price list of your own (.toml)")
    parser.add_argument("--measure", action="store_true", help="measure this machine anew (up to a minute)")
    parser.add_argument("--no-measure", action="store_true", help="leave out what needs a measured machine")


def run(options: argparse.Namespace) -> int:
    """Print the plan. Returns 1 when the run does not fit."""
    from towpath.cli.inputs import print_result, read_run_file
    from towpath.core.runs import home_folder
    from towpath.plan.machine import calibration
    from towpath.plan.plan import make_plan
    from towpath.plan.prices import devices
    from towpath.plan.remedies import remedies
    from towpath.plan.words import page

    config = read_run_file(options).config
    home, entries = home_folder(), devices(options.prices)
    machine = None
    if not options.no_measure:
        print("plan: measuring this machine where it is not known yet", file=sys.stderr)
        machine = calibration(home, config.train.threads, again=options.measure)
    plan = make_plan(config, home, machine, entries)
    changes = remedies(config, plan, home, machine) if plan.lacks else []
    facts = {
        **plan.facts(),
        "machine": asdict(machine) if machine else None,
        "changes": [asdict(change) for change in changes],
        "price_list": [device.model_dump(mode="json") for device in entries],
    }
    print_result(options, facts, page(plan, machine, changes))
    return int(bool(plan.lacks))
