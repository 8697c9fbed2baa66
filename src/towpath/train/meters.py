"""Meters: figures of a running stage that are of the machine and not of the model.

No two runs have the same; a checkpoint's facts leave them out.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

from towpath.core.metrics import peak_memory_bytes

SPEED, MEMORY = "train/tokens_per_second", "train/memory"
MEASURED = (SPEED, MEMORY)
"""Names of all figures that a meter gives."""


class Meters:
    """Counts from one call of ``figures`` to the next."""

    def __init__(self) -> None:
        self._tokens = 0
        self._start = time.monotonic()

    def count(self, tokens: int) -> None:
        """``tokens`` targets are about to be learned."""
        self._tokens += tokens

    def leave_out(self, seconds: float) -> None:
        """The last ``seconds`` were spent on something other than training."""
        self._start += seconds

    def figures(self) -> Mapping[str, float]:
        """Figures since the last call; counts anew."""
        now = time.monotonic()
        speed = (self._tokens or 1) / max(now - self._start, 1e-9)
        self._start, self._tokens = now, 0
        return {SPEED: speed, MEMORY: peak_memory_bytes()}
