"""The guard of a training run: it looks at each step's loss and gradient before they change a weight.

Adds nothing to a parameter whose loss or gradient is not finite, and stops a run in which too many
steps in a row were so. What it remembers goes into each checkpoint, so that a resumed run judges as
the one that was never stopped.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from towpath.core.errors import TrainError
from towpath.train.config import TrainConfig


class Guard:
    """Judges steps in order. ``describe`` names the data of a step, counted from 0, for messages."""

    def __init__(self, config: TrainConfig, describe: Callable[[int], str] = str) -> None:
        self.config = config
        self.describe = describe
        self.bad_steps = 0
        """Refused steps in a row, up to the last one judged."""

    def applies(self, step: int, loss: float, grad_norm: float, *, scaled: bool = False) -> bool:
        """Whether the update of ``step`` (from 1) is made, by its mean loss in nats and its gradient's norm.

        ``scaled``: the loss is scaled, and an overflow halves the scale, no more: it is not counted.

        Raises:
            TrainError: more than ``max_bad_steps`` steps in a row were refused.
        """
        if math.isfinite(loss) and math.isfinite(grad_norm):
            self.bad_steps = 0
            return True
        if not (scaled and math.isfinite(loss)):
            self._count(step, loss, grad_norm)
        return False

    def figures(self) -> Mapping[str, float]:
        """What is logged of it."""
        return {"train/bad_steps": self.bad_steps}

    def state(self) -> dict[str, Any]:
        """All that later judgements depend on, as plain JSON."""
        return {"bad_steps": self.bad_steps}

    def load(self, state: Mapping[str, Any]) -> None:
        """Take back what ``state`` gave."""
        self.bad_steps = state["bad_steps"]

    def _count(self, step: int, loss: float, grad_norm: float) -> None:
        self.bad_steps += 1
        if self.bad_steps > self.config.max_bad_steps:
            raise TrainError(
                f"Step {step}: loss = {loss}, gradient norm = {grad_norm}, for the {self.bad_steps}. step in "
                f"a row ({self.describe(step - 1)}). None was applied; the last checkpoint is good. "
                f"Likely causes: train.learning_rate = {self.config.learning_rate} is too high, or fp16 is "
                "out of its range."
            )
