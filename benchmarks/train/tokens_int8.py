"""Tokens a CPU second of the small model with int8 products, beside our own fp32.

    python benchmarks/train/tokens_int8.py [--rounds N] [--layers N]

It gains where int8 products are faster than fp32 ones (AVX-512 VNNI, AMX); where a CPU has neither,
torch's int8 product is a plain loop, and the row says so.
"""

from __future__ import annotations

from functools import partial
from statistics import median

import torch
from sides import ours
from turns import SIZES, arguments, in_turns, print_row

from towpath.model.int8 import speeds


def main() -> None:
    options = arguments(__doc__, 2).parse_args()
    size = SIZES["small"].with_layers(options.layers)
    fast, plain = speeds(torch.device("cpu"))
    makes = [partial(ours, size, precision=name) for name in ("int8", "fp32")]
    sides, taken = in_turns(makes, options.rounds)
    rates = [side.tokens / median(seconds) for side, seconds in zip(sides, taken, strict=True)]
    products = f"an int8 product runs at {fast:.3g} Gop/s, an fp32 one at {plain:.3g}"
    print_row("tokens/s int8", rates, f"tokens/CPU-s, 1 thread; peer: own fp32; {products}; {size.what}")


if __name__ == "__main__":
    main()
