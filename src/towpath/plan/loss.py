"""The loss to expect, by a scaling law fitted to runs of this project.

Hoffmann et al. 2022, arXiv:2203.15556, equation 10: L = E + A / N^alpha + B / D^beta, with N weights
that multiply a token and D tokens of training. Deviations: N leaves out embeddings that are only looked
up; for each pair of exponents on a grid E, A and B follow by least squares of the relative error, where
the paper minimises a Huber loss over all five; E, A and B are never negative. The interval is the
bootstrap's: the residuals of the fit drawn again, 5th to 95th percentile.

The runs, with data, tokenizer, commit and machine, are in ``scaling_law.json``; ``benchmarks/
scaling_law.py`` makes it. A law says nothing of other text, and little far from its runs.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from towpath.model.config import TransformerConfig

_EXPONENTS = np.arange(0.05, 1.51, 0.05)
_DRAWS = 200
_INTERVAL = (0.05, 0.95)


@dataclass(frozen=True)
class Run:
    """One training: its size, its tokens, its final loss."""

    weights: int
    tokens: int
    loss: float


@dataclass(frozen=True)
class Law:
    """``loss = floor + size_factor / N^size_exponent + data_factor / D^data_exponent``."""

    floor: float
    size_factor: float
    size_exponent: float
    data_factor: float
    data_exponent: float

    def loss(self, weights: float, tokens: float) -> float:
        """The loss that it tells."""
        size = self.size_factor / weights**self.size_exponent
        return self.floor + size + self.data_factor / tokens**self.data_exponent


@dataclass(frozen=True)
class Expected:
    """A loss in bits a byte, with its interval, and what keeps it from being one to rely on."""

    bits_per_byte: float
    low: float
    high: float
    outside: tuple[str, ...]
    """In which way the run is not like those of the fit; empty where it is."""
    data: str


def multiplied_weights(config: TransformerConfig) -> int:
    """Weights that multiply every token: linear layers and the output head."""
    with torch.device("meta"):
        model = config.layout()
    head = model.head_weight
    inside = sum(
        module.weight.numel()
        for module in model.modules()
        if isinstance(module, nn.Linear) and module.weight is not head
    )
    return inside + head.numel()


def fit(runs: Sequence[Run]) -> Law:
    """The law with the least squared relative error on ``runs``."""
    return _fit(_columns(runs), np.array([run.loss for run in runs]))


def bootstrap(runs: Sequence[Run], seed: int = 0) -> list[Law]:
    """Laws of ``runs`` with the fit's relative residuals drawn again."""
    law = fit(runs)
    told = np.array([law.loss(run.weights, run.tokens) for run in runs])
    residuals = np.array([run.loss for run in runs]) / told - 1
    draw = np.random.default_rng(seed)
    columns = _columns(runs)
    return [_fit(columns, told * (1 + draw.choice(residuals, len(runs)))) for _ in range(_DRAWS)]


def expected(config: TransformerConfig, tokens: int) -> Expected | None:
    """What to expect of ``config`` after ``tokens`` tokens; None without runs to tell it from."""
    path = Path(__file__).with_name("scaling_law.json")
    if not path.exists():
        return None
    document = json.loads(path.read_bytes())
    runs = [as_run(row) for row in document["runs"] if not row["held_out"]]
    weights = multiplied_weights(config)
    told = [law.loss(weights, tokens) for law in bootstrap(runs)]
    low, high = (float(np.quantile(told, share)) for share in _INTERVAL)
    outside = _outside(runs, weights, tokens)
    return Expected(fit(runs).loss(weights, tokens), low, high, outside, document["provenance"]["data"])


def as_run(row: dict[str, Any]) -> Run:
    """A row of ``scaling_law.json``."""
    return Run(row["weights"], row["tokens"], row["bits_per_byte"])


def _outside(runs: Sequence[Run], weights: int, tokens: int) -> tuple[str, ...]:
    return tuple(
        f"{value:,} {what} where the fit saw {min(seen):,} to {max(seen):,}"
        for what, value, seen in (
            ("weights", weights, [run.weights for run in runs]),
            ("tokens", tokens, [run.tokens for run in runs]),
        )
        if not min(seen) <= value <= max(seen)
    )


def _columns(runs: Sequence[Run]) -> NDArray[np.float64]:
    """(pairs of exponents, runs, 3): one, N^-alpha, D^-beta."""
    size = np.array([run.weights for run in runs], dtype=float)[None] ** -_EXPONENTS[:, None]
    data = np.array([run.tokens for run in runs], dtype=float)[None] ** -_EXPONENTS[:, None]
    pairs = [(i, j) for i in range(len(_EXPONENTS)) for j in range(len(_EXPONENTS))]
    ones = np.ones(len(runs))
    return np.array([np.stack([ones, size[i], data[j]], axis=1) for i, j in pairs])


def _fit(columns: NDArray[np.float64], losses: NDArray[np.float64]) -> Law:
    rows = columns / losses[None, :, None]
    scale = rows.max(axis=1, keepdims=True)  # columns of very different size solve badly
    even = rows / scale
    transposed = even.swapaxes(1, 2)
    jitter = 1e-9 * np.eye(3)
    solved = np.linalg.solve(transposed @ even + jitter, transposed.sum(axis=2)[..., None])[..., 0]
    errors = ((even @ solved[..., None])[..., 0] - 1) ** 2
    total = np.where((solved >= 0).all(axis=1), errors.sum(axis=1), np.inf)
    best = int(total.argmin())
    floor, size_factor, data_factor = solved[best] / scale[best, 0]
    size_exponent, data_exponent = (_EXPONENTS[k] for k in divmod(best, len(_EXPONENTS)))
    return Law(*map(float, (floor, size_factor, size_exponent, data_factor, data_exponent)))
