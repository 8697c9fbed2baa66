"""The matmul ceiling: how many operations a second this process's products of matrices reach at best.

Model FLOPs utilisation is held against it and not against a number from a data sheet: what a machine
reaches depends on its threads and its type. Products of square matrices (1024 wide on a CPU, 8192 on
a GPU, narrower where a type is slow) are timed for a fifth of a second and the fastest counts; once a
process. On a CPU it is the processor time of one thread, times the number of threads, so that neighbours
who take turns on the same cores do not lower the ceiling (threads that wait for each other count as work:
two on two busy cores looked a hundred times slower than one).
"""

from __future__ import annotations

import time
from functools import cache

import torch

_SECONDS = 0.2
_LONGEST_SECONDS = 0.05
_NARROWEST = 128
_WIDEST = {"cpu": 1024, "cuda": 8192}


def matmul_ceiling(device: torch.device, dtype: torch.dtype) -> float:
    """Operations a second of this process, a multiplication and an addition being two."""
    threads = torch.get_num_threads()
    if device.type != "cpu" or threads == 1:
        return _measured(device, dtype)
    torch.set_num_threads(1)
    try:
        return threads * _measured(device, dtype)
    finally:
        torch.set_num_threads(threads)


@cache
def _measured(device: torch.device, dtype: torch.dtype) -> float:
    width, best = _NARROWEST, 0.0
    end = time.monotonic() + _SECONDS
    while time.monotonic() < end:
        left, product = _operands(width, device, dtype)
        seconds = min(_seconds(left, product) for _ in range(3))
        best = max(best, 2 * width**3 / seconds)
        if width < _WIDEST.get(device.type, 1024) and 8 * seconds < _LONGEST_SECONDS:
            width *= 2
    return best


def _operands(width: int, device: torch.device, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    """Two matrices without a draw: the random state is training's."""
    ramp = torch.arange(width, dtype=torch.float32, device=device) / width
    return torch.outer(ramp, ramp).to(dtype), torch.empty(width, width, dtype=dtype, device=device)


def _seconds(left: torch.Tensor, product: torch.Tensor) -> float:
    if left.device.type == "cpu":
        start = time.thread_time()
        torch.mm(left, left, out=product)
        return max(time.thread_time() - start, 1e-9)
    torch.cuda.synchronize(left.device)
    start = time.perf_counter()
    torch.mm(left, left, out=product)
    torch.cuda.synchronize(left.device)
    return time.perf_counter() - start
