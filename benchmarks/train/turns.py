# ruff: noqa: E402
"""What the rows share: sides that train in turns, a step each, and the row they end with.

CPU seconds of each step, with one thread: other work on the machine slows down all sides alike, and
the ratio of two neighbours says more than either alone. Where sides differ is told in ``sides.py``.
"""

from __future__ import annotations

import os
import sys
import time
from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path
from statistics import median

for _switch in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE"):
    os.environ.setdefault(_switch, "1")
os.environ["OMP_NUM_THREADS"] = "1"  # before torch starts: of every thread that a side may start

import torch

sys.path.append(str(Path(__file__).resolve().parents[1] / "data"))

from paired import arguments as plain_arguments
from paired import is_row as is_row
from paired import print_row as print_row
from sides import SIZES, Side, Size, peers


def arguments(description: str | None, rounds: int) -> ArgumentParser:
    """The options of a row that compares sides."""
    torch.set_num_threads(1)
    parser = plain_arguments(description)
    parser.add_argument("--rounds", type=int, default=rounds, help="measured steps of each side")
    parser.add_argument("--nanogpt", type=Path, help="a checkout of nanoGPT: its own model.py runs")
    parser.add_argument("--litgpt", type=Path, help="a LitGPT wheel or folder; else the installed one")
    parser.add_argument("--layers", type=int, help="fewer or more than the row asks for, to try it out")
    return parser


def in_turns(sides: Sequence[Side], rounds: int) -> list[list[float]]:
    """CPU seconds of ``rounds`` steps of each side, one of each in turn; the first steps are not counted."""
    taken: list[list[float]] = [[] for _ in sides]
    for number in range(rounds + 1):
        for side, seconds in zip(sides, taken, strict=True):
            start = time.process_time()
            loss = side.step()
            if number:
                seconds.append(time.process_time() - start)
                rate = side.tokens / seconds[-1]
                print(
                    f"{side.name}: {rate:,.1f} tokens/CPU-s, {rate * side.flops / 1e9:.1f} GF/s, "
                    f"loss {loss:.3f}",
                    flush=True,
                )
    return taken


def compare(row: str, size: Size, ours: Side, others: Sequence[Side], rounds: int) -> None:
    """Measure, print each peer's ratio, and the row against the fastest peer."""
    sides = [ours, *others]
    taken = in_turns(sides, rounds)
    rates = [side.tokens / median(seconds) for side, seconds in zip(sides, taken, strict=True)]
    ratios = []
    for side, seconds, rate in zip(others, taken[1:], rates[1:], strict=True):
        pairs = sorted(peer / own for peer, own in zip(seconds, taken[0], strict=True))
        ratios.append(median(pairs))
        print(
            f"{side.name}: {rate:,.1f} tokens/CPU-s; ours is {ratios[-1]:.3f} times as fast "
            f"(median of {len(pairs)} pairs, {pairs[0]:.2f} to {pairs[-1]:.2f}); "
            f"{side.parameters / 1e6:.2f} M parameters, ours {ours.parameters / 1e6:.2f} M"
        )
    fastest = min(range(len(others)), key=lambda number: ratios[number])
    peer = rates[fastest + 1]
    print_row(
        row,
        (ratios[fastest] * peer, peer),
        f"tokens/CPU-s, 1 thread; peer: {others[fastest].name}; {size.what}; ratio: median of pairs",
    )


def tokens_row(row: str, size: Size, rounds: int, description: str | None) -> None:
    """The whole of a row of tokens a second."""
    from sides import ours

    options = arguments(description, rounds).parse_args()
    size = size.with_layers(options.layers)
    compare(row, size, ours(size), peers(size, options.nanogpt, options.litgpt), options.rounds)


__all__ = ["SIZES", "arguments", "compare", "in_turns", "is_row", "print_row", "tokens_row"]
