# ruff: noqa: E402
"""What the rows share: sides that train in turns, a step each, and the row they end with.

Each side has a process of its own. CPU seconds of each step, with one thread: other work on the machine
slows down all sides alike, and the ratio of two neighbours says more than either alone. Where sides differ
is told in ``sides.py``.
"""

from __future__ import annotations

import os
import sys
import time
from argparse import ArgumentParser
from collections.abc import Callable, Sequence
from functools import partial
from multiprocessing import Pipe, get_context
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Any

for _switch in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE"):
    os.environ.setdefault(_switch, "1")
os.environ["OMP_NUM_THREADS"] = "1"  # before torch starts: of every thread that a side may start

import torch

sys.path.append(str(Path(__file__).resolve().parents[1] / "data"))

from paired import arguments as plain_arguments
from paired import is_row as is_row
from paired import print_row as print_row
from sides import SIZES, Side, Size, peers

Make = Callable[[], Side]
"""Of a side, in its own process: picklable."""


def arguments(description: str | None, rounds: int) -> ArgumentParser:
    """The options of a row that compares sides."""
    torch.set_num_threads(1)
    parser = plain_arguments(description)
    parser.add_argument("--rounds", type=int, default=rounds, help="measured steps of each side")
    parser.add_argument("--nanogpt", type=Path, help="a checkout of nanoGPT: its own model.py runs")
    parser.add_argument("--litgpt", type=Path, help="a LitGPT wheel or folder; else the installed one")
    parser.add_argument("--layers", type=int, help="fewer or more than the row asks for, to try it out")
    return parser


class Apart:
    """A side in a process of its own, as its user would run it: with its own heap, and nobody's kernels."""

    def __init__(self, make: Make) -> None:
        ours, theirs = Pipe()
        context = get_context("spawn")
        self._process = context.Process(target=_take_steps, args=(make, theirs), daemon=True)
        self._process.start()
        theirs.close()
        self._pipe = ours
        self.name, self.tokens, self.flops, self.parameters = self._answer()

    def step(self) -> tuple[float, float]:
        """CPU seconds and loss of one."""
        self._pipe.send(None)
        return self._answer()

    def stop(self) -> None:
        """End the process."""
        self._pipe.close()
        self._process.join()

    def _answer(self) -> Any:
        try:
            return self._pipe.recv()
        except EOFError:
            raise SystemExit("A side ended before its turn; see above.") from None


def _take_steps(make: Make, pipe: Connection) -> None:
    torch.set_num_threads(1)
    side = make()
    pipe.send((side.name, side.tokens, side.flops, side.parameters))
    while True:
        try:
            pipe.recv()
        except EOFError:
            return
        start = time.process_time()
        loss = side.step()
        pipe.send((time.process_time() - start, loss))


def in_turns(makes: Sequence[Make], rounds: int) -> tuple[list[Apart], list[list[float]]]:
    """The sides, stopped, and CPU seconds of ``rounds`` steps of each, one of each in turn.

    The first step of each is not counted.
    """
    sides = [Apart(make) for make in makes]
    taken: list[list[float]] = [[] for _ in sides]
    for number in range(rounds + 1):
        for side, seconds in zip(sides, taken, strict=True):
            used, loss = side.step()
            if number:
                seconds.append(used)
                rate = side.tokens / used
                print(
                    f"{side.name}: {rate:,.1f} tokens/CPU-s, {rate * side.flops / 1e9:.1f} GF/s, "
                    f"loss {loss:.3f}",
                    flush=True,
                )
    for side in sides:
        side.stop()
    return sides, taken


def compare(row: str, size: Size, ours: Make, peers: Sequence[Make], rounds: int) -> None:
    """Measure, print each peer's ratio, and the row against the fastest peer."""
    sides, taken = in_turns([ours, *peers], rounds)
    own, *others = sides
    rates = [side.tokens / median(seconds) for side, seconds in zip(sides, taken, strict=True)]
    ratios = []
    for side, seconds, rate in zip(others, taken[1:], rates[1:], strict=True):
        pairs = sorted(theirs / mine for theirs, mine in zip(seconds, taken[0], strict=True))
        ratios.append(median(pairs))
        print(
            f"{side.name}: {rate:,.1f} tokens/CPU-s; ours is {ratios[-1]:.3f} times as fast "
            f"(median of {len(pairs)} pairs, {pairs[0]:.2f} to {pairs[-1]:.2f}); "
            f"{side.parameters / 1e6:.2f} M parameters, ours {own.parameters / 1e6:.2f} M"
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
    makes = peers(size, options.nanogpt, options.litgpt)
    compare(row, size, partial(ours, size), makes, options.rounds)


__all__ = ["SIZES", "arguments", "compare", "in_turns", "is_row", "print_row", "tokens_row"]
