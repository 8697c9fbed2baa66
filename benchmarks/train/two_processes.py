"""Speed of two gloo processes (parallel ddp) against one, with the same global batch of the small model.

    python benchmarks/train/two_processes.py [--rounds N]

Wall time, since CPU time does not show waiting: it says something on two idle cores alone, so the load
of the machine is printed beside it. Each process has one thread.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from statistics import median

from sides import Side, ours
from turns import SIZES, arguments, print_row


def main() -> None:
    options = arguments(__doc__, 8).parse_args()
    size = SIZES["small"].with_layers(options.layers)
    if "RANK" in os.environ:
        many = int(os.environ["WORLD_SIZE"]) > 1
        half = {"batch_size": size.batch // 2, "gradient_accumulation_steps": 2}
        measure(ours(size, **half, parallel={"type": "ddp" if many else "single"}), options.rounds)
        return
    one, two = [], []
    for _ in range(3):
        one.append(size.batch * size.context / job(1, options.rounds))
        two.append(size.batch * size.context / job(2, options.rounds))
        print(f"1 process {one[-1]:,.0f}, 2 processes {two[-1]:,.0f} tokens/s, load {os.getloadavg()[0]:.1f}")
    ratio = median(pair / alone for alone, pair in zip(one, two, strict=True))
    unit = f"tokens/s (wall), peer: 1 process; load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
    print_row("two processes", (ratio * median(one), median(one)), unit)


def job(processes: int, rounds: int) -> float:
    """Wall seconds of a step in a job of ``processes``."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    shared = {"WORLD_SIZE": str(processes), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    command = [sys.executable, __file__, "--rounds", str(rounds), *sys.argv[1:]]
    started = [
        subprocess.Popen(
            command,
            env={**os.environ, **shared, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in range(processes)
    ]
    texts = [process.communicate()[0] for process in started]
    if any(process.returncode for process in started):
        raise SystemExit("two_processes: a process of the job failed; see above.")
    return float(texts[0].splitlines()[-1])


def measure(side: Side, rounds: int) -> None:
    """Print the median wall seconds of a step; the first is not counted."""
    taken = []
    for _ in range(rounds + 1):
        start = time.monotonic()
        side.step()
        taken.append(time.monotonic() - start)
    print(median(taken[1:]), flush=True)


if __name__ == "__main__":
    main()
