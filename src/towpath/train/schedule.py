"""The learning rate of each step, a pure function of its number.

Steps count from 1, so that the first update already learns: warmup gives step s the share
s / warmup_steps of the peak.
"""

from __future__ import annotations

from typing import Protocol

from towpath.train.config import TrainConfig


class _HasGroups(Protocol):
    @property
    def param_groups(self) -> list[dict[str, object]]: ...


def factor(step: int, config: TrainConfig) -> float:
    """Share of the peak learning rate that optimizer step ``step`` (from 1) uses."""
    if step <= config.warmup_steps:
        return step / config.warmup_steps
    span = max(1, config.max_steps - config.warmup_steps)
    progress = min(1.0, (step - config.warmup_steps) / span)
    return config.schedule.factor(progress, config)


class Scheduler:
    """Sets the learning rate of every group of an optimizer: its peak times the schedule's factor."""

    def __init__(self, optimizer: _HasGroups, config: TrainConfig, steps_done: int = 0) -> None:
        self.optimizer = optimizer
        self.config = config
        self.steps_done = steps_done
        self._set()

    def step(self) -> None:
        """One optimizer update was made: set the rates of the next."""
        self.steps_done += 1
        self._set()

    def get_last_lr(self) -> list[float]:
        """The rates in force, one a group."""
        return [float(str(group["lr"])) for group in self.optimizer.param_groups]

    def _set(self) -> None:
        share = factor(self.steps_done + 1, self.config)
        for group in self.optimizer.param_groups:
            group["lr"] = float(str(group["peak_lr"])) * share
