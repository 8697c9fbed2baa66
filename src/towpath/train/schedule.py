"""Learning-rate schedules: the rate of a step is a pure function of its number.

Steps count from 1, so that the first update already learns: warmup gives step s the share
s / warmup_steps of the peak.
"""

from __future__ import annotations

import math
from typing import Protocol

from towpath.core.config import Section
from towpath.train.config import (
    ConstantConfig,
    CosineConfig,
    LinearConfig,
    TrainConfig,
    WarmupStableDecayConfig,
)


class _HasGroups(Protocol):
    @property
    def param_groups(self) -> list[dict[str, object]]: ...


def factor(step: int, config: TrainConfig) -> float:
    """Share of the peak learning rate that optimizer step ``step`` (from 1) uses."""
    if step <= config.warmup_steps:
        return step / config.warmup_steps
    span = max(1, config.max_steps - config.warmup_steps)
    return _after_warmup(config.schedule, min(1.0, (step - config.warmup_steps) / span), config)


def _after_warmup(schedule: Section, progress: float, config: TrainConfig) -> float:
    match schedule:
        case ConstantConfig():
            return 1.0
        case LinearConfig(final_ratio=final):
            return 1 - (1 - final) * progress
        case CosineConfig(final_ratio=final):
            return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * progress))
        case WarmupStableDecayConfig(decay_ratio=ratio, final_ratio=final):
            decay_share = ratio * config.max_steps / max(1, config.max_steps - config.warmup_steps)
            left = (1 - progress) / decay_share if decay_share else 1.0
            return final + (1 - final) * min(1.0, left)
        case _:
            build = getattr(schedule, "factor", None)
            assert build is not None, f"{type(schedule).__name__} has no method factor(progress)"
            return build(progress)


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
