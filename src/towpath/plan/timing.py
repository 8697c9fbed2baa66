"""Seconds of a training step: a weighted sum of what its operations compute and move.

Products of wide and of narrow matrices, fused attention, bytes moved, bytes of slow and of random operations
and the number of operations each have a weight (``towpath.plan.operations`` says what is what). The weights
are fitted by least squares of the relative error to steps measured on the machine, none of them negative.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np

from towpath.plan.operations import Costs

FEATURES = (
    "product_flops",
    "narrow_product_flops",
    "attention_flops",
    "bytes",
    "slow_bytes",
    "random_bytes",
    "operations",
)


def seconds_of(costs: Costs, weights: Mapping[str, float]) -> float:
    """How long a step of ``costs`` takes."""
    return sum(weight * getattr(costs, name) for name, weight in weights.items())


def fit_seconds(costs: Sequence[Costs], seconds: Sequence[float]) -> dict[str, float]:
    """The weights of ``FEATURES`` that tell ``seconds`` best: every set of them is tried, the best kept."""
    rows = np.array([[getattr(one, name) for name in FEATURES] for one in costs]) / np.array(seconds)[:, None]
    scale = rows.max(axis=0)
    scale[scale == 0] = 1
    best, least = np.zeros(len(FEATURES)), np.inf
    for number in range(1, len(FEATURES) + 1):
        for chosen in map(list, combinations(range(len(FEATURES)), number)):
            solved = np.linalg.lstsq(rows[:, chosen] / scale[chosen], np.ones(len(rows)), rcond=None)[0]
            error = float(np.sum((rows[:, chosen] / scale[chosen] @ solved - 1) ** 2))
            if (solved >= 0).all() and error < least - 1e-12:
                best, least = np.zeros(len(FEATURES)), error
                best[chosen] = solved / scale[chosen]
    return {name: float(weight) for name, weight in zip(FEATURES, best, strict=True)}
