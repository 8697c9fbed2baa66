"""CPU time and memory of attention through a window: blocks of queries against one call with a mask.

    OMP_NUM_THREADS=1 python benchmarks/model/attention_window.py [TOKENS] [WINDOW]

Each line is a process of its own, so that its peak of memory is its own.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time

ROWS = [("blocked", "window"), ("sdpa", "window"), ("sdpa", "plain"), ("blocked", "alibi"), ("sdpa", "alibi")]
HEADS, WIDTH, REPEATS = 12, 64, 3


def main() -> None:
    if len(sys.argv) > 3:
        measure(*sys.argv[1:3], int(sys.argv[3]), int(sys.argv[4]))
        return
    tokens = sys.argv[1] if len(sys.argv) > 1 else "4096"
    window = sys.argv[2] if len(sys.argv) > 2 else "512"
    for backend, kind in ROWS:
        subprocess.run([sys.executable, __file__, backend, kind, tokens, window], check=True)


def measure(backend: str, kind: str, tokens: int, window: int) -> None:
    import torch

    from towpath.model.backends import named
    from towpath.model.patterns.sliding_window import SlidingWindow
    from towpath.model.positions.biases import AlibiPositions
    from towpath.model.sight import Sight

    torch.set_num_threads(1)
    parts = [torch.randn(1, HEADS, tokens, WIDTH, requires_grad=True) for _ in range(3)]
    slopes = AlibiPositions(HEADS)
    slopes.fill_()
    before, seconds = peak_mb(), []
    for _ in range(REPEATS):
        sight = Sight(
            pattern=None if kind == "plain" else SlidingWindow(window_tokens=window),
            at_distance=slopes.at_distance if kind == "alibi" else None,
        )
        start = time.process_time()
        named(backend).run(*parts, sight, 0.0).sum().backward()
        seconds.append(time.process_time() - start)
    print(f"{backend:<8} {kind:<7} {min(seconds):6.2f} CPU s  {peak_mb() - before:7,.0f} MB", flush=True)


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
