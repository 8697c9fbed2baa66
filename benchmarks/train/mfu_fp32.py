"""Share of the measured matmul ceiling that a training step of the small model reaches in fp32.

    python benchmarks/train/mfu_fp32.py [--rounds N]

The ceiling is a product of 2,048 by 2,048 matrices, measured beside every step; floating point operations
of a step as in PaLM's appendix B (``towpath.model.size``), where the causal half is not taken off.
"""

from __future__ import annotations

from functools import partial
from statistics import median

import torch
from sides import Side, nanogpt_settings, ours
from turns import SIZES, arguments, in_turns, print_row

EDGE, REPEATS = 2048, 8


def product() -> Side:
    """The ceiling, as a side: a token is one row of the product."""
    left, right = torch.randn(EDGE, EDGE), torch.randn(EDGE, EDGE)
    into = torch.empty(EDGE, EDGE)

    def step() -> float:
        for _ in range(REPEATS):
            torch.mm(left, right, out=into)
        return 0.0

    return Side("matmul ceiling", step, EDGE * REPEATS, 2 * EDGE * EDGE, 0)


def main() -> None:
    options = arguments(__doc__, 12).parse_args()
    size = SIZES["small"].with_layers(options.layers)
    sides, taken = in_turns([partial(ours, size), product, partial(nanogpt_settings, size)], options.rounds)
    speeds = [
        [side.tokens * side.flops / seconds for seconds in one]
        for side, one in zip(sides, taken, strict=True)
    ]
    shares = [
        median(100 * own / ceiling for own, ceiling in zip(one, speeds[1], strict=True))
        for one in (speeds[0], speeds[2])
    ]
    print(f"ceiling {median(speeds[1]) / 1e9:.1f} GF/s, torch {torch.__version__}")
    unit = f"% of a {EDGE} x {EDGE} matmul, 1 thread; peer: {sides[2].name}; {size.what}"
    print_row("mfu fp32", shares, unit)


if __name__ == "__main__":
    main()
