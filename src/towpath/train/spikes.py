"""Spikes: figures far above those of the steps before, by a robust score.

The score of a value x after the values w is Iglewicz and Hoaglin 1993 ("How to Detect and Handle
Outliers", section 3.3): (x - median(w)) / (1.4826 * MAD(w)), where MAD is the median distance from
the median and 1.4826 makes it a standard deviation for normal noise. Deviations: only values above
the median score, since a loss that falls is no fault; and a unit is never less than 1 % of the
median, so that a very even stretch raises no alarm. A spike that is in the window moves median and
MAD hardly, so every finite value is remembered, and a level that has changed for good becomes the
normal one after half a window.
"""

from __future__ import annotations

from collections import deque
from statistics import median
from typing import Literal

from pydantic import Field, model_validator

from towpath.core.config import Execution, Section

Action = Literal["warn", "skip", "rewind"]

_NORMAL = 1.4826
_LEAST_UNIT = 0.01


class GuardConfig(Section):
    """The table ``[train.guard]``: what is a spike, and what is done about one."""

    window_steps: int = Field(default=128, ge=4)
    """Past steps that a step is compared with."""
    min_steps: int = Field(default=32, ge=4)
    """Steps in the window before any is called a spike."""
    loss_threshold: float = Field(default=8.0, gt=0)
    """Robust standard deviations above the median from which on a loss is a spike."""
    gradient_threshold: float = Field(default=12.0, gt=0)
    """The same of the gradient's norm, which is heavier in its tail."""
    on_loss_spike: Action = "warn"
    """warn: say so; skip: do not apply the step; rewind: go back to the last checkpoint, without its data."""
    on_gradient_spike: Action = "warn"
    """The same for the gradient's norm."""
    on_not_finite: Literal["skip", "rewind"] = "skip"
    """What follows a loss or gradient that is not finite; it is never applied."""
    rewind_span_steps: int = Field(default=1, ge=1)
    """Steps whose data a rewind leaves out: the one that showed the spike and those just before it."""
    max_rewinds: int = Field(default=10, ge=1)
    """Rewinds of a stage before it stops with an error."""
    layer_norm_steps: Execution[int | None] = Field(default=None, ge=1)
    """Steps between rows of the log with the gradient's norm of each block; unset: never."""

    @model_validator(mode="after")
    def _agree(self) -> GuardConfig:
        if self.min_steps > self.window_steps:
            raise ValueError(
                f"min_steps = {self.min_steps} is more than window_steps = {self.window_steps} can hold. "
                f"Try min_steps = {max(4, self.window_steps // 4)}."
            )
        return self

    @property
    def rewinds(self) -> bool:
        """Whether any policy goes back to a checkpoint."""
        return "rewind" in (self.on_loss_spike, self.on_gradient_spike, self.on_not_finite)


class Window:
    """The last values of one figure."""

    def __init__(self, size: int, least: int) -> None:
        self.values: deque[float] = deque(maxlen=size)
        self.least = least

    def score(self, value: float) -> float:
        """How many robust standard deviations ``value`` lies above the median; 0 while too few are known."""
        if len(self.values) < self.least:
            return 0.0
        middle = median(self.values)
        spread = _NORMAL * median(abs(past - middle) for past in self.values)
        unit = max(spread, _LEAST_UNIT * abs(middle))
        return max(0.0, (value - middle) / unit) if unit > 0 else 0.0

    def add(self, value: float) -> None:
        """Remember ``value``."""
        self.values.append(value)
