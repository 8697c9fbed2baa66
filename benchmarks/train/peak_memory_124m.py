"""Peak memory of training 124 M weights at a context of 1,024, batch 1, fp32: ours beside the peers.

    python benchmarks/train/peak_memory_124m.py [--nanogpt PATH] [--litgpt PATH]

Ours runs with ``lean_memory``. Each side trains three steps in a process of its own; the figure is the
most that the system saw it use, torch and Python included.
"""

from __future__ import annotations

import resource
import subprocess
import sys

import sides
from turns import arguments, print_row

STEPS = 3


def main() -> None:
    parser = arguments(__doc__, STEPS)
    parser.add_argument("--one", help="used by itself: train this side here")
    options = parser.parse_args()
    size = sides.SIZES["124M"].with_layers(options.layers)
    makers = {"ours": sides.lean, "nanogpt_settings": sides.nanogpt_settings, "hf_trainer": sides.hf_trainer}
    with_path = {"nanogpt_itself": options.nanogpt, "litgpt_model": options.litgpt}
    if options.one:
        make = {**makers, **{name: getattr(sides, name) for name in with_path}}[options.one]
        where = (with_path[options.one],) if options.one in with_path else ()
        train(make(size, *where), options.rounds)
        return
    peaks = {}
    for name in [*makers, *(name for name, path in with_path.items() if path)]:
        command = [sys.executable, __file__, "--one", name, *sys.argv[1:]]
        lines = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
        label, _, figure = lines[-1].rpartition("\t")
        peaks[label] = float(figure)
        print(f"{label}: {peaks[label]:.3f} GB", flush=True)
    own, *rest = peaks
    best = min(rest, key=lambda name: peaks[name])
    print_row("peak memory 124M", (peaks[own], peaks[best]), f"GB at most; best peer: {best}; {size.what}")


def train(side: sides.Side, steps: int) -> None:
    """Print the name and the peak in GB after ``steps`` steps."""
    for _ in range(steps):
        side.step()
    print(f"{side.name}\t{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9}")


if __name__ == "__main__":
    main()
