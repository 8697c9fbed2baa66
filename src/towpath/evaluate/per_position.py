"""Loss by position in the window: does a model use what it reads, and up to where?

A model that uses its context is better at later positions; one past its trained length turns worse
there. Knows nothing of text: windows of token ids in, a curve out.

B windows, T predicted tokens.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from towpath.core.errors import DataError
from towpath.train.batches import IGNORED

if TYPE_CHECKING:
    from jaxtyping import Float, Int

    from towpath.model.decoder import Decoder

_CHUNK_TOKENS = 512
"""Logits held at once, per window."""


@dataclass(frozen=True)
class PositionCurve:
    """Summed loss and number of tokens of each position; position t predicts token t + 1."""

    nats: Float[Tensor, " T"]
    tokens: Int[Tensor, " T"]

    def loss(self, first: int, stop: int) -> float:
        """Nats a token over positions ``first`` to ``stop - 1``.

        Raises:
            DataError: no token there was scored.
        """
        tokens = int(self.tokens[first:stop].sum())
        if tokens == 0:
            raise DataError(f"No token of positions {first} to {stop - 1} was scored; give longer windows.")
        return float(self.nats[first:stop].sum()) / tokens

    def bins(self, n_bins: int = 8) -> list[tuple[int, int, float]]:
        """(first, stop, nats a token) of equal stretches of positions."""
        length = len(self.tokens)
        edges = [length * number // n_bins for number in range(n_bins + 1)]
        return [(a, b, self.loss(a, b)) for a, b in itertools.pairwise(edges) if self.tokens[a:b].any()]


@torch.no_grad()
def per_position_loss(model: Decoder, windows: Iterable[Int[Tensor, "B T+1"]]) -> PositionCurve:
    """The curve of ``model`` over ``windows`` of ids, all equally long; -100 is not scored.

    Raises:
        DataError: there are no windows.
        ModelError: windows are longer than the context.
    """
    was_training = model.training
    model.eval()
    nats: Tensor | None = None
    tokens = torch.zeros(0, dtype=torch.long)
    for ids in windows:
        losses, scored = _losses(model, ids.to(model.device))
        if nats is None:
            nats, tokens = torch.zeros_like(losses), torch.zeros_like(scored)
        nats += losses
        tokens += scored
    model.train(was_training)
    if nats is None:
        raise DataError("There are no windows to score. Give at least one.")
    return PositionCurve(nats, tokens)


def _losses(model: Decoder, ids: Int[Tensor, "B T+1"]) -> tuple[Tensor, Tensor]:
    """Summed loss (fp64) and number of tokens of each position, on the CPU."""
    labels = ids[:, 1:]  # (B, T)
    hidden = model.trunk(ids[:, :-1].clamp(min=0))  # (B, T, C)
    parts = []
    for first in range(0, labels.shape[1], _CHUNK_TOKENS):
        chunk = slice(first, first + _CHUNK_TOKENS)
        logits = model.logits(hidden[:, chunk]).float()  # (B, chunk, V)
        parts.append(
            F.cross_entropy(logits.mT, labels[:, chunk], reduction="none", ignore_index=IGNORED).double()
        )
    return torch.cat(parts, dim=1).sum(0).cpu(), (labels != IGNORED).sum(0).cpu()
