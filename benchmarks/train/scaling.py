"""A step of two gloo processes as ``towpath.plan.scaling`` tells it, beside the step as measured.

    python benchmarks/train/scaling.py [--rounds N] [--layers N]

The link is measured here, by sums of few and of many bytes between the two processes, and so is the step of
each process without the other's gradients, at the same time in both. The steps that are told and measured
are those of parallel ddp. The small model has short windows here, so that a good part of a step is
communication. Wall time, all in turn: other work on the machine slows down all of them.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from statistics import median

import torch
import torch.distributed as dist
from sides import ours
from turns import SIZES, arguments, print_row

from towpath.plan.prices import Link
from towpath.plan.scaling import Fabric, Step, strong, traffic_of
from towpath.train.config import TrainConfig

FEW_BYTES, MANY_BYTES, SUMS = 4_096, 25 * 2**20, 4
CONTEXT, BATCH = 32, 4


def main() -> None:
    options = arguments(__doc__, 12).parse_args()
    if "RANK" not in os.environ:
        launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
        sys.exit(subprocess.run([*launcher, __file__, *sys.argv[1:]], check=False).returncode)
    what = f"the small model with {CONTEXT * BATCH} tokens a step"
    size = replace(SIZES["small"], what=what, context=CONTEXT, batch=BATCH).with_layers(options.layers)
    own = size.batch // 2
    world = os.environ.pop("WORLD_SIZE")  # for a moment each is a job of its own
    alone = ours(replace(size, batch=own))
    os.environ["WORLD_SIZE"] = world
    parallel = {"type": "ddp"}
    both = ours(size, batch_size=own, gradient_accumulation_steps=2, parallel=parallel)
    few, many = torch.zeros(FEW_BYTES // 4), torch.zeros(MANY_BYTES // 4)
    acts = (alone.step, both.step, lambda: add_up(few), lambda: add_up(many))
    taken = [[seconds(act) for act in acts] for _ in range(options.rounds + 1)][1:]
    if int(os.environ["RANK"]):
        return
    for one, two, short, long in taken:
        print(
            f"alone {one:.3f} s, two {two:.3f} s, sums {short / SUMS:.5f} and {long / SUMS:.4f} s", flush=True
        )
    one, two, short, long = (median(column) for column in zip(*taken, strict=True))
    link = measured_link(short / SUMS, long / SUMS)
    step = Step(size.batch, own, size.context, one / own, 0.0)
    traffic = traffic_of(TrainConfig(parallel=parallel), both.parameters * 4, size.layers)
    (told,) = strong(step, traffic, Fabric(2, link, link), [2])
    print(
        f"gloo: {link.bytes_per_second / 1e9:.2f} GB/s, {link.latency_seconds * 1e6:.0f} us a hop; told "
        f"{told.seconds[0]:.3f} s (hidden) to {told.seconds[1]:.3f} s (not hidden), measured {two:.3f} s"
    )
    load = f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
    unit = f"ms a step of 2 gloo processes, nothing hidden; peer: as measured; {load}; {size.what}"
    print_row("scaling on paper", (told.seconds[1] * 1000, two * 1000), unit)


def add_up(tensor: torch.Tensor) -> None:
    """All-reduces of ``tensor``, one after the other."""
    for _ in range(SUMS):
        dist.all_reduce(tensor)


def seconds(act: Callable[[], object]) -> float:
    """Wall time of ``act``, which both processes begin together."""
    dist.barrier()
    start = time.monotonic()
    act()
    return time.monotonic() - start


def measured_link(few_seconds: float, many_seconds: float) -> Link:
    """From an all-reduce of few and of many bytes on two: two hops, and 2(n - 1)/n = 1 times the bytes."""
    rate = (MANY_BYTES - FEW_BYTES) / max(many_seconds - few_seconds, 1e-9)
    return Link(name="gloo", bytes_per_second=rate, latency_seconds=few_seconds / 2)


if __name__ == "__main__":
    main()
