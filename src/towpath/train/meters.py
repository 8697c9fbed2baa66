"""Meters: figures of a running stage that are of the machine and not of the model.

Comes in: how many tokens are learned from and how long the loop waited for them. Goes out: speed,
model FLOPs utilisation (MFU), memory, the share of time spent waiting for data, and what it all cost
so far in seconds, joules and money. No two runs have the same; a checkpoint's facts leave them out.

MFU is Chowdhery et al. 2022 (PaLM), arXiv:2204.02311, appendix B: the model's FLOPs a token times
tokens a second, over the ceiling. Deviation: the ceiling is measured (``ceiling``), not a data sheet's.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from towpath.core.metrics import peak_memory_bytes
from towpath.train.energy import Energy

SPEED, MFU, MEMORY, GPU_MEMORY = (
    *("train/tokens_per_second", "train/mfu"),
    *("train/memory", "train/gpu_memory"),
)
DATA_WAIT, SECONDS, ENERGY, COST = "train/data_wait", "train/seconds", "train/energy", "train/cost"
MEASURED = (SPEED, MFU, MEMORY, GPU_MEMORY, DATA_WAIT, SECONDS, ENERGY, COST)
"""Names of all figures that a meter gives."""

_SECONDS_PER_HOUR = 3600


@dataclass
class Bill:
    """What is held against time: ``price_per_hour`` in any currency, None where nothing is paid."""

    energy: Energy = field(default_factory=Energy)
    price_per_hour: float | None = None


class Meters:
    """Counts from one call of ``figures`` to the next; seconds, energy and cost from the stage's start.

    ``ceiling_flops``: operations a second of all processes together; None leaves MFU out.
    """

    def __init__(self, ceiling_flops: float | None = None, bill: Bill | None = None) -> None:
        self.ceiling_flops = ceiling_flops
        self.bill = bill or Bill()
        self._tokens = 0
        self._flops = 0.0
        self._waited = 0.0
        self._start = self._opened = time.monotonic()
        self._before = {SECONDS: 0.0, ENERGY: 0.0, COST: 0.0}

    def go_on(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Count on from the last of ``rows``, those of a log that is gone on with."""
        self._before |= {row["name"]: row["value"] for row in rows if row["name"] in self._before}
        self._opened = time.monotonic()

    def count(self, tokens: int, flops: float = 0.0) -> None:
        """``tokens`` targets are about to be learned, for ``flops`` operations."""
        self._tokens += tokens
        self._flops += flops

    def waited(self, seconds: float) -> None:
        """The loop had nothing to do for ``seconds``, since its data was not ready."""
        self._waited += seconds

    def leave_out(self, seconds: float) -> None:
        """The last ``seconds`` were spent on something other than training; they are paid all the same."""
        self._start += seconds

    def figures(self) -> Mapping[str, float]:
        """Figures since the last call; counts anew."""
        now = time.monotonic()
        seconds = max(now - self._start, 1e-9)
        found = {
            SPEED: (self._tokens or 1) / seconds,
            DATA_WAIT: min(1.0, self._waited / seconds),
            MEMORY: peak_memory_bytes(),
            **_gpu_memory(),
            **self._spent(now),
        }
        if self.ceiling_flops and self._flops:
            found[MFU] = self._flops / seconds / self.ceiling_flops
        self._start, self._tokens, self._flops, self._waited = now, 0, 0.0, 0.0
        return found

    def _spent(self, now: float) -> dict[str, float]:
        seconds = now - self._opened
        spent = {SECONDS: self._before[SECONDS] + seconds}
        joules = self.bill.energy.joules()
        if joules is not None:
            spent[ENERGY] = self._before[ENERGY] + joules
        if self.bill.price_per_hour is not None:
            spent[COST] = self._before[COST] + seconds / _SECONDS_PER_HOUR * self.bill.price_per_hour
        return spent


def _gpu_memory() -> dict[str, float]:
    import torch

    return {GPU_MEMORY: torch.cuda.max_memory_allocated()} if torch.cuda.is_available() else {}
