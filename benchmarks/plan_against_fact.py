"""Plan against fact: memory and time of 20 configurations, told before and measured after.

Each configuration trains a few steps in a process of its own on one thread: seconds of the processor
for a step after the first, and the largest resident memory. The plan sees none of it; it is
calibrated first (``towpath.plan.machine``), on other models. Every configuration is one line of JSON;
the last two are the 90th percentiles.

    OMP_NUM_THREADS=1 python benchmarks/plan_against_fact.py --home work --only 0-9
"""

from __future__ import annotations

import argparse
import json
import os
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

# layout, width, layers, context, vocabulary, batch, optimizer, gradient checkpointing, more of the model
CONFIGURATIONS: list[tuple[str, int, int, int, int, int, str, bool, dict[str, Any]]] = [
    ("gpt2", 96, 4, 64, 1024, 16, "adamw", False, {"n_head": 3}),
    ("gpt2", 128, 4, 128, 2048, 8, "muon", False, {}),
    ("modern", 128, 4, 256, 4096, 4, "adamw", False, {}),
    ("modern", 192, 4, 128, 8192, 16, "muon", False, {"tie_embeddings": False}),
    ("gpt2", 192, 6, 512, 4096, 2, "adamw", True, {}),
    ("gpt2", 256, 4, 256, 8192, 4, "adamw", False, {"dropout": 0.1}),
    ("modern", 256, 6, 512, 4096, 2, "muon", False, {"n_kv_head": 2}),
    ("modern", 256, 4, 1024, 2048, 1, "adamw", False, {}),
    ("gpt2", 256, 6, 1024, 4096, 2, "adamw", True, {}),
    ("modern", 320, 5, 256, 16384, 2, "muon", True, {}),
    ("gpt2", 384, 6, 256, 8192, 2, "adamw", False, {}),
    ("modern", 384, 6, 128, 32000, 4, "adamw", False, {}),
    ("gpt2", 384, 4, 512, 32000, 1, "muon", False, {}),
    ("modern", 448, 6, 256, 4096, 4, "adamw", True, {}),
    ("gpt2", 512, 6, 128, 16384, 4, "adamw", False, {"dropout": 0.1}),
    ("modern", 512, 8, 256, 8192, 1, "muon", False, {"n_kv_head": 2}),
    ("gpt2", 512, 8, 512, 4096, 1, "muon", True, {}),
    ("modern", 512, 8, 1024, 16384, 1, "adamw", False, {}),
    ("gpt2", 640, 10, 128, 16384, 2, "adamw", False, {}),
    ("modern", 576, 10, 64, 32000, 4, "muon", True, {"n_kv_head": 3}),
]
QUICK_SECONDS = 2.0
"""A step that is planned to take less is repeated once more."""


def settings(number: int) -> dict[str, Any]:
    """Model and training of configuration ``number``."""
    kind, width, layers, context, vocabulary, batch, optimizer, again, more = CONFIGURATIONS[number]
    sizes = {"n_embd": width, "n_layer": layers, "n_head": width // 64, "n_positions": context}
    plain = {"dropout": 0.0} if kind == "gpt2" else {}
    train = {
        "batch_size": batch,
        "gradient_accumulation_steps": 1,
        "optimizer": {"type": optimizer},
        "gradient_checkpointing": again,
        "threads": 1,
        "device": "cpu",
    }
    return {"model": {"type": kind, **sizes, "vocab_size": vocabulary, **plain, **more}, "train": train}


def row(number: int, machine: Machine) -> dict[str, Any]:
    """What was told of configuration ``number`` and what it took."""
    asked = settings(number)
    model = TypeAdapter(ModelConfig).validate_python(asked["model"])
    trace = trace_step(model, TrainConfig.model_validate(asked["train"]))
    seconds, peak = machine.seconds(trace), machine.peak_bytes(trace)
    steps = 4 if seconds < QUICK_SECONDS else 2
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
        "parameters": fact["parameters"],
        "seconds": [round(seconds, 3), round(spent, 3)],
        "memory_mb": [round(peak / 1e6), round(fact["peak_bytes"] / 1e6)],
        "time_error": round(seconds / spent - 1, 3),
        "memory_error": round(peak / fact["peak_bytes"] - 1, 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--home", type=Path, default=Path("work"))
    parser.add_argument("--only", default=f"0-{len(CONFIGURATIONS) - 1}", help="numbers first-last")
    parser.add_argument("--again", action="store_true", help="calibrate anew")
    options = parser.parse_args()
    machine = calibration(options.home, threads=1, again=options.again)
    print(f"{machine.processor}, torch {machine.torch}, {machine.matmul_flops / 1e9:.0f} GFLOP/s", flush=True)
    first, last = map(int, options.only.split("-"))
    rows = []
    for number in range(first, last + 1):
        rows.append(row(number, machine))
        print(json.dumps(rows[-1]), flush=True)
    for what, must in (("memory", 0.10), ("time", 0.15)):
        error = float(np.quantile([abs(one[f"{what}_error"]) for one in rows], 0.9))
        line = {"row": f"plan {what}, 90th percentile", "ours": round(error, 3), "must": must}
        print(json.dumps({**line, "configurations": len(rows), "unit": "relative error"}))


if __name__ == "__main__":
    main()
