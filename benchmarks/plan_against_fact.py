"""Plan against fact: memory and time of 20 configurations, told before and measured after.

The configurations are drawn from ``--seed``: another seed gives twenty that nobody has seen.
Each trains a few steps in a process of its own on one thread: seconds of the processor
for a step after the first, and the largest resident memory. The plan sees none of it; it is
calibrated first (``towpath.plan.machine``), on other models. Every configuration is one line of JSON;
the last two are the 90th percentiles.

    OMP_NUM_THREADS=1 python benchmarks/plan_against_fact.py --home work --only 0-9
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from towpath.model.config import ModelConfig
from towpath.model.size import count_parameters
from towpath.plan.machine import Machine, calibration
from towpath.plan.trace import trace_step
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


def row(seed: int, number: int, machine: Machine) -> dict[str, Any]:
    """What was told of configuration ``number`` and what it took."""
    asked = settings(seed, number)
    model = TypeAdapter(ModelConfig).validate_python(asked["model"])
    trace = trace_step(model, TrainConfig.model_validate(asked["train"]))
    seconds, peak = machine.seconds(trace), machine.peak_bytes(trace)
    steps = 6 if seconds < QUICK_SECONDS else 3
    answer = subprocess.run(
        [sys.executable, "-m", "towpath.plan.measure", json.dumps({**asked, "steps": steps})],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    fact = json.loads(answer.stdout)
    spent = median(fact["seconds"][1:])
    assert fact["parameters"] == count_parameters(model)
    return {
        "number": number,
        "what": what_of(asked),
        "parameters": fact["parameters"],
        "seconds": [round(seconds, 3), round(spent, 3)],
        "memory_mb": [round(peak / 1e6), round(fact["peak_bytes"] / 1e6)],
        "time_error": round(seconds / spent - 1, 3),
        "memory_error": round(peak / fact["peak_bytes"] - 1, 3),
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
    parser.add_argument("--again", action="store_true", help="calibrate anew")
    options = parser.parse_args()
    machine = calibration(options.home, threads=1, again=options.again)
    print(f"{machine.processor}, torch {machine.torch}, {machine.matmul_flops / 1e9:.0f} GFLOP/s", flush=True)
    first, last = map(int, options.only.split("-"))
    rows = []
    for number in range(first, last + 1):
        rows.append(row(options.seed, number, machine))
        print(json.dumps(rows[-1]), flush=True)
    for what, must in (("memory", 0.10), ("time", 0.15)):
        error = float(np.quantile([abs(one[f"{what}_error"]) for one in rows], 0.9))
        line = {"row": f"plan {what}, 90th percentile", "ours": round(error, 3), "must": must}
        print(json.dumps({**line, "configurations": len(rows), "unit": "relative error"}))


if __name__ == "__main__":
    main()
