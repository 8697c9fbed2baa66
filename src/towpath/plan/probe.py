"""The process that measures a machine for ``towpath.plan.machine``: products, memory, small models.

``python -m towpath.plan.probe THREADS PROBES`` prints one line of JSON. Every model trains in a fork of
its own, so that packages are loaded once and each has its own peak of memory.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

import torch
from pydantic import TypeAdapter

from towpath.model.config import ModelConfig
from towpath.plan.measure import measure
from towpath.train.config import TrainConfig

_COPY_NUMBERS = 1 << 25


def main() -> None:
    """Measure what the arguments ask for."""
    threads, probes = int(sys.argv[1]), json.loads(sys.argv[2])
    runs = [_in_a_fork(probe, threads) for probe in probes]
    torch.set_num_threads(threads)
    print(json.dumps({"runs": runs, "matmul_flops": _matmul_flops(), "bandwidth": _bandwidth()}))


def _in_a_fork(probe: dict[str, Any], threads: int) -> dict[str, Any]:
    """What ``measure`` says, in a child; no thread of torch has started before it."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            model = TypeAdapter(ModelConfig).validate_python(probe["model"])
            train = TrainConfig.model_validate({**probe["train"], "threads": threads})
            os.write(writing, json.dumps(measure(model, train, probe["steps"])).encode())
            status = 0
        finally:
            os._exit(status)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        answer = pipe.read()
    _, status = os.waitpid(child, 0)
    if status:
        raise SystemExit(f"the probe {probe} ended with status {status}")
    return json.loads(answer)


def _matmul_flops() -> float:
    size = 1024
    matrix = torch.randn(size, size)
    return 2 * size**3 / min(_seconds(lambda: matrix @ matrix) for _ in range(5))


def _bandwidth() -> float:
    source, target = torch.zeros(_COPY_NUMBERS), torch.zeros(_COPY_NUMBERS)
    return 2 * 4 * _COPY_NUMBERS / min(_seconds(lambda: target.copy_(source)) for _ in range(3))


def _seconds(act: Any) -> float:
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    start = clock()
    act()
    return clock() - start


if __name__ == "__main__":
    main()
