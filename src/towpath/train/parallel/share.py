"""Which micro-batches of a step a process learns from: every n-th, so that a step holds the same samples
for every number of processes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from towpath.core.errors import TrainError
from towpath.train.batches import Batch, BatchSource
from towpath.train.config import TrainConfig


class _HasShare(Protocol):
    @property
    def data_rank(self) -> int: ...
    @property
    def data_ranks(self) -> int: ...


@runtime_checkable
class Divisible(Protocol):
    """A source that can prepare one process's micro-batches without the others'."""

    def of_rank(self, rank: int, ranks: int) -> BatchSource:
        """The micro-batches ``rank``, ``rank + ranks``, … of every step."""
        ...


@dataclass(frozen=True)
class Share:
    """Every ``ranks``-th micro-batch of ``whole``, from number ``rank``."""

    whole: BatchSource
    rank: int
    ranks: int

    def batch(self, step: int) -> Batch:
        """See ``BatchSource.batch``."""
        batch = self.whole.batch(step)
        mine = batch.micro_batches[self.rank :: self.ranks]
        if len(mine) * self.ranks != len(batch.micro_batches):
            raise TrainError(_uneven(len(batch.micro_batches), self.ranks, "This step"))
        return Batch(mine, batch.target_tokens)

    def describe(self, step: int) -> str:
        """See ``BatchSource.describe``."""
        return self.whole.describe(step)


def share_of(source: BatchSource, strategy: _HasShare) -> BatchSource:
    """What the process of ``strategy`` learns from."""
    rank, ranks = strategy.data_rank, strategy.data_ranks
    if ranks == 1:
        return source
    if isinstance(source, Divisible):
        return source.of_rank(rank, ranks)
    return Share(source, rank, ranks)


def check_divides(config: TrainConfig, ranks: int) -> None:
    """Refuse a number of micro-batches that ``ranks`` processes can't share evenly.

    Raises:
        TrainError: with both numbers and one that works.
    """
    if config.gradient_accumulation_steps % ranks:
        raise TrainError(
            _uneven(config.gradient_accumulation_steps, ranks, "train.gradient_accumulation_steps")
        )


def _uneven(micro_batches: int, ranks: int, what: str) -> str:
    fits = -(-micro_batches // ranks) * ranks
    return (
        f"{what}: {micro_batches} micro-batches can't be shared evenly by {ranks} processes. Set "
        f"train.gradient_accumulation_steps = {fits} (one step is the same for every number of processes: "
        "the micro-batches are shared out)."
    )
