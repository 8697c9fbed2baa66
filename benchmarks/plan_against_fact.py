"""Plan against fact: memory and time of 20 configurations, told before and measured after.

The configurations are drawn from ``--seed``: another seed gives twenty that nobody has seen. First all are
told, as ``towpath plan`` tells: by a machine measured on other models, and with a trial of the model, cut in
depth until a few steps take at most 20 s (``towpath.plan.trial``). Then each trains a few steps in a process
of its own on one thread: seconds of the processor for a step after the first, and the largest resident
memory. Every configuration is one line of JSON; then come the 90th percentiles, with the trial
and without it. ``--passes 3`` measures all three times, minutes apart, and takes the median: a shared
machine's speed drifts, and the last line says by how much the same steps differ between passes.

    OMP_NUM_THREADS=1 python benchmarks/plan_against_fact.py --home work --only 0-9
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from towpath.model.config import ModelConfig
from towpath.model.size import count_parameters
from towpath.plan.machine import Machine, calibration
from towpath.plan.trace import trace_step
from towpath.plan.trial import tried
from towpath.train.config import TrainConfig

CONFIGURATIONS = 20
WIDTHS, LAYERS, CONTEXTS = (96, 128, 192, 256, 320, 384, 512, 640), range(3, 11), (64, 128, 256, 512, 1024)
VOCABULARIES, TOKENS, CHECKPOINTING = (1024, 2048, 4096, 8192, 16384, 32000), 2048, (False, False, True)
QUICK_SECONDS = 2.0
"""A step that is planned to take less is repeated more often."""


def settings(seed: int, number: int) -> dict[str, Any]:
    """Model and training of configuration ``number``, drawn: none was chosen for what it gives."""
    draw = random.Random(f"{seed} {number}")
    kind, width, context = draw.choice(("gpt2", "modern")), draw.choice(WIDTHS), draw.choice(CONTEXTS)
    heads = max(1, width // 64)
    sizes = {
        "n_embd": width,
        "n_layer": draw.choice(LAYERS),
        "n_head": heads,
        "n_positions": context,
        "vocab_size": draw.choice(VOCABULARIES),
    }
    more = {"dropout": draw.choice((0.0, 0.1))}
    if kind == "modern":
        divisors = [size for size in range(1, heads + 1) if heads % size == 0]
        more = {"n_kv_head": draw.choice(divisors), "tie_embeddings": draw.choice((True, False))}
    train = {
        "batch_size": max(1, draw.choice((1, 2, 4)) * TOKENS // 4 // context),
        "gradient_accumulation_steps": 1,
        "optimizer": {"type": draw.choice(("adamw", "muon"))},
        "gradient_checkpointing": draw.choice(CHECKPOINTING),
        "threads": 1,
        "device": "cpu",
    }
    return {"model": {"type": kind, **sizes, **more}, "train": train}


@dataclass(frozen=True)
class Told:
    """What is known of a configuration before it runs."""

    asked: dict[str, Any]
    parameters: int
    layers_tried: int
    seconds: tuple[float, float]
    peak_bytes: tuple[int, int]
    """By the trial, and without it."""


def told(home: Path, machine: Machine, asked: dict[str, Any]) -> Told:
    """What the plan says of ``asked``."""
    model = TypeAdapter(ModelConfig).validate_python(asked["model"])
    train = TrainConfig.model_validate(asked["train"])
    trace, better = trace_step(model, train), tried(home, machine, model, train)
    return Told(
        asked,
        count_parameters(model),
        better.trial.layers if better.trial else 0,
        (better.seconds(trace), machine.seconds(trace)),
        (better.peak_bytes(trace), machine.peak_bytes(trace)),
    )


def fact(told: Told) -> tuple[float, int]:
    """Seconds of a step and peak memory, measured."""
    steps = 6 if told.seconds[0] < QUICK_SECONDS else 3
    answer = subprocess.run(
        [sys.executable, "-m", "towpath.plan.measure", json.dumps({**told.asked, "steps": steps})],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    found = json.loads(answer.stdout)
    assert found["parameters"] == told.parameters
    return median(found["seconds"][1:]), found["peak_bytes"]


def row(number: int, told: Told, facts: list[tuple[float, int]]) -> dict[str, Any]:
    """What was told of configuration ``number`` and what it took."""
    spent, taken = (median(one) for one in zip(*facts, strict=True))
    return {
        "number": number,
        "what": what_of(told.asked),
        "parameters": told.parameters,
        "layers tried": told.layers_tried,
        "seconds": [round(one, 3) for one in (*told.seconds, spent)],
        "memory_mb": [round(one / 1e6) for one in (*told.peak_bytes, taken)],
        "time_error": [round(one / spent - 1, 3) for one in told.seconds],
        "memory_error": [round(one / taken - 1, 3) for one in told.peak_bytes],
        "time_range": round(max(one[0] for one in facts) / min(one[0] for one in facts) - 1, 3),
    }


def what_of(asked: dict[str, Any]) -> str:
    """A configuration in a few words."""
    model, train = asked["model"], asked["train"]
    again = ", checkpointing" if train["gradient_checkpointing"] else ""
    sizes = f"{model['n_layer']}x{model['n_embd']}, {train['batch_size']}x{model['n_positions']}"
    return f"{model['type']} {sizes}, vocabulary {model['vocab_size']}, {train['optimizer']['type']}{again}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--home", type=Path, default=Path("work"))
    parser.add_argument("--only", default=f"0-{CONFIGURATIONS - 1}", help="numbers first-last")
    parser.add_argument("--seed", type=int, default=0, help="of the draw of configurations")
    parser.add_argument("--passes", type=int, default=1, help="how often each is measured")
    parser.add_argument("--again", action="store_true", help="calibrate anew")
    options = parser.parse_args()
    machine = calibration(options.home, threads=1, again=options.again)
    print(f"{machine.processor}, torch {machine.torch}, {machine.matmul_flops / 1e9:.0f} GFLOP/s", flush=True)
    first, last = map(int, options.only.split("-"))
    numbers = range(first, last + 1)
    before = {number: told(options.home, machine, settings(options.seed, number)) for number in numbers}
    facts: dict[int, list[tuple[float, int]]] = {number: [] for number in numbers}
    for turn in range(options.passes):
        for number in numbers:
            facts[number].append(fact(before[number]))
        print(f"measured all, {turn + 1} of {options.passes} times", file=sys.stderr, flush=True)
    rows = [row(number, before[number], facts[number]) for number in numbers]
    for one in rows:
        print(json.dumps(one))
    print_percentiles(rows)


def print_percentiles(rows: list[dict[str, Any]]) -> None:
    """The 90th percentiles, one line of JSON each."""
    for which, by in enumerate(("", " by small models alone")):
        for what, must in (("memory", 0.10), ("time", 0.15)):
            errors = [abs(one[f"{what}_error"][which]) for one in rows]
            line = {"row": f"plan {what}{by}, 90th percentile", "ours": round(np.quantile(errors, 0.9), 3)}
            more = {"median": round(median(errors), 3), "must": must, "configurations": len(rows)}
            print(json.dumps({**line, **more, "unit": "relative error"}))
    ranges = [one["time_range"] for one in rows]
    line = {"row": "the same steps again, 90th percentile", "ours": round(np.quantile(ranges, 0.9), 3)}
    print(
        json.dumps({**line, "median": round(median(ranges), 3), "unit": "slowest pass over fastest, less 1"})
    )


if __name__ == "__main__":
    main()
