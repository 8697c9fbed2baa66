"""``towpath plan RUN``: what a run takes, before anything is spent."""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from towpath.core.errors import ConfigError

if TYPE_CHECKING:
    from towpath.plan.machine import Machine
    from towpath.plan.prices import Device
    from towpath.recipes.run_config import RunConfig


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments ``RUN [KEY=VALUE …]``, ``--prices``, ``--measure``, ``--no-measure``, ``--devices`` …"""
    from towpath.cli.inputs import add_run_file

    add_run_file(parser)
    parser.add_argument("--prices", metavar="FILE", type=Path, help="a price list of your own (.toml)")
    measured = parser.add_mutually_exclusive_group()
    measured.add_argument("--measure", action="store_true", help="measure this machine anew (up to a minute)")
    measured.add_argument("--no-measure", action="store_true", help="leave out what needs a measured machine")
    parser.add_argument(
        "--devices", metavar="N", type=int, help="in place of the plan: scaling on paper up to N devices"
    )
    parser.add_argument(
        "--on",
        metavar="DEVICE",
        help='of the price list, for --devices (default: H100); "here"',
    )
    parser.add_argument(
        "--tokens-per-second", metavar="X", type=float, help="measured on one such device, for --devices"
    )


def run(options: argparse.Namespace) -> int:
    """Print the plan. Returns 1 when the run does not fit."""
    from towpath.cli.inputs import print_result, read_run_file
    from towpath.core.runs import home_folder
    from towpath.plan.machine import calibration, calibration_of_before
    from towpath.plan.plan import make_plan
    from towpath.plan.prices import devices
    from towpath.plan.remedies import remedies
    from towpath.plan.trial import tried
    from towpath.plan.words import page

    config = read_run_file(options).config
    if options.devices is not None:
        return _scaling(options, config)
    if options.on is not None or options.tokens_per_second is not None:
        raise ConfigError("--on and --tokens-per-second go with --devices N; a plan has all devices.")
    home, entries = home_folder(), devices(options.prices)
    machine = None
    if not options.no_measure:
        if options.measure or calibration_of_before(home, config.train.threads) is None:
            _say_that_measuring_takes_time()
        machine = calibration(home, config.train.threads, again=options.measure)
        print("plan: trying a few steps of the model, unless it was tried before", file=sys.stderr)
        machine = tried(home, machine, config.model.for_tokenizer(config.tokenizer.vocab_size), config.train)
    plan = make_plan(config, home, machine, entries)
    if plan.lacks:
        print("plan: it does not fit; following changes that would", file=sys.stderr)
    changes = remedies(config, plan, home, machine) if plan.lacks else []
    facts = {
        **plan.facts(),
        "machine": asdict(machine) if machine else None,
        "changes": [asdict(change) for change in changes],
        "price_list": [device.model_dump(mode="json") for device in entries],
    }
    print_result(options, facts, page(plan, machine, changes))
    return int(bool(plan.lacks))


def _say_that_measuring_takes_time() -> None:
    print("plan: measuring this machine, about a minute", file=sys.stderr)
    busy, cores = os.getloadavg()[0], os.cpu_count() or 1
    if busy > cores / 2:
        print(
            f"plan: {busy:.1f} other programs want its {cores} cores, so its speed is told too low and is "
            "remembered; once they are done, measure again with --measure",
            file=sys.stderr,
        )


def _scaling(options: argparse.Namespace, config: RunConfig) -> int:
    """Print strong and weak scaling on a device of the price list."""
    from towpath.cli.inputs import print_result
    from towpath.plan.prices import devices, links, named
    from towpath.plan.scaling import fabric_of, numbers_of_devices, step_of, strong, traffic_of, weak
    from towpath.plan.trace import trace_step
    from towpath.plan.words import scaling_page

    for name, value in (("--devices", options.devices), ("--tokens-per-second", options.tokens_per_second)):
        if value is not None and value <= 0:
            raise ConfigError(f"{name} {value:g}: expected more than 0.")
    device = named(devices(options.prices), options.on or "H100", "--on")
    fabric = fabric_of(device, links(options.prices))
    model, train = config.model.for_tokenizer(config.tokenizer.vocab_size), config.train
    trace = trace_step(model, train)
    step = step_of(trace, train, model.n_positions, _place(device, options, train.threads))
    if options.tokens_per_second:
        step = step.measured(options.tokens_per_second)
    traffic = traffic_of(train, trace.weight_bytes, trace.blocks)
    numbers = numbers_of_devices(options.devices, fabric.node_devices)
    curves = strong(step, traffic, fabric, numbers), weak(step, traffic, fabric, numbers)
    facts = {
        "device": device.model_dump(mode="json"),
        "links": [link.model_dump(mode="json") for link in (fabric.node, fabric.network)],
        "step": asdict(step),
        "traffic": asdict(traffic),
        "strong": [asdict(point) for point in curves[0]],
        "weak": [asdict(point) for point in curves[1]],
    }
    tokens = step.sequences * step.sequence_tokens * train.max_steps
    print_result(options, facts, scaling_page(step, device, fabric, curves, tokens))
    return 0


def _place(device: Device, options: argparse.Namespace, threads: int | None) -> Device | Machine:
    """``device``, or this machine as measured where it is called "here"."""
    from towpath.core.runs import home_folder
    from towpath.plan.machine import calibration

    if device.name != "here":
        return device
    return calibration(home_folder(), threads, again=options.measure)
