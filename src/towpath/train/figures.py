"""Figures of a step that are of the model and its data: the specification's names, and losses by source.

Comes in: a step's loss and batch. Goes out: perplexity, bits a byte, learning rate and step
(``log_metrics`` of the specification, section 4.2), FLOPs of a batch, and the loss of each source.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from towpath.train.batches import IGNORED, Batch

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from towpath.model.language_model import LanguageModel
    from towpath.train.parallel.strategy import Strategy

LARGEST_EXPONENT = 700.0


@runtime_checkable
class HasSources(Protocol):
    """Batches that know which source each of their rows comes from."""

    source_names: Sequence[str]
    """All sources that are ever drawn."""

    def sources(self, step: int) -> list[list[str]]:
        """The source of each row of each micro-batch of this process, at ``step`` from 0."""
        ...


def log_metrics(
    loss: float, step: int, learning_rate: float, bytes_per_target: float | None = None
) -> dict[str, float]:
    """What is logged of ``loss`` in nats a target; bits a byte where ``bytes_per_target`` is known.

    >>> log_metrics(math.log(2), 3, 1e-3, 1.0)["train/bits_per_byte"]
    1.0
    """
    figures = {
        "train/loss": loss,
        "train/perplexity": math.exp(loss) if loss < LARGEST_EXPONENT else math.inf,
        "train/learning_rate": learning_rate,
        "train/step": step,
    }
    if bytes_per_target:
        figures["train/bits_per_byte"] = loss / math.log(2) / bytes_per_target
    return figures


def bytes_per_target(batch: Batch, text_bytes: NDArray[np.integer]) -> float | None:
    """Bytes of text that a target of ``batch`` stands for on average; ``text_bytes[id]`` of each token.

    A token that stands for no text counts as a target of no bytes. Of several processes' batches this is
    one's: every process's share is as good a sample of the text.
    """
    n_bytes = targets = 0
    for micro_batch in batch.micro_batches:
        labels = micro_batch["labels"].reshape(-1).numpy()
        wanted = labels[labels != IGNORED]
        n_bytes += int(text_bytes[wanted].sum())
        targets += wanted.size
    return n_bytes / targets if n_bytes else None


class BatchFlops:
    """FLOPs of batches of one model, backward pass included; see ``towpath.model.size``."""

    def __init__(self, model: LanguageModel) -> None:
        from towpath.model.size import flops_per_token

        self.config = model.config
        one, two = (flops_per_token(model.config, context_tokens) for context_tokens in (1, 2))
        self.of_token, self.of_pair = 2 * one - two, two - one

    def __call__(self, batch: Batch) -> float:
        """Of this process's micro-batches. A decoder's last token of a row is not gone through."""
        total = 0.0
        for micro_batch in batch.micro_batches:
            rows, tokens = micro_batch["input_ids"].shape
            tokens -= self.config.family == "decoder"
            total += rows * tokens * (self.of_token + tokens * self.of_pair)
        return total


@torch.no_grad()
def source_losses(
    model: nn.Module,
    batch: Batch,
    rows: Sequence[Sequence[str]],
    names: Sequence[str],
    strategy: Strategy,
) -> Mapping[str, float]:
    """``train/<source>/loss`` of each source in ``batch``, without dropout; ``rows``: see ``HasSources``.

    One forward pass over the batch. All processes call it, and the model as often as each other: where a
    micro-batch has no row of a source, a row without a target stands for it.
    """
    device = strategy.precision.device
    sums = torch.zeros(len(names), 2, dtype=torch.float64, device=device)
    was_training = model.training
    model.eval()
    with torch.random.fork_rng():
        for micro_batch, of_rows in zip(batch.micro_batches, rows, strict=True):
            for number, name in enumerate(names):
                part = _rows_of(micro_batch, [row for row, source in enumerate(of_rows) if source == name])
                with strategy.precision.forward():
                    loss = model(**{key: value.to(device) for key, value in part.items()}, loss_tokens=1).loss
                sums[number, 0] += loss
                sums[number, 1] += int((part["labels"][:, 1:] != IGNORED).sum()) / strategy.sharers
    model.train(was_training)
    sums = strategy.total(sums)
    return {
        f"train/{name}/loss": float(nats / targets)
        for name, (nats, targets) in zip(names, sums, strict=True)
        if targets > 0
    }


def _rows_of(micro_batch: Mapping[str, Tensor], rows: list[int]) -> dict[str, Tensor]:
    part = {name: value[rows or [0]] for name, value in micro_batch.items()}
    return part if rows else {**part, "labels": torch.full_like(part["labels"], IGNORED)}
