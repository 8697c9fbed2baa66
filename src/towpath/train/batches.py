"""Batches: the micro-batches of optimizer step s, as a pure function of s.

So the data position of a run is one number, resuming costs nothing, and every number of ranks and
of threads sees the same samples at the same step.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from towpath.train.objectives import Examples
from towpath.train.objectives.causal import CausalExamples
from towpath.train.objectives.drawing import IGNORED as IGNORED


@dataclass(frozen=True)
class Batch:
    """One optimizer update's data on this rank. B sequences, T tokens."""

    micro_batches: list[dict[str, Tensor]]
    """Arguments of the model by name, such as ``{"input_ids": (B, T), "labels": (B, T)}``, int64."""
    target_tokens: int
    """Targets of the whole step, over all micro-batches and ranks."""


class BatchSource(Protocol):
    """What a training stage learns from."""

    def batch(self, step: int) -> Batch:
        """The data of optimizer step ``step``, counted from 0."""
        ...

    def describe(self, step: int) -> str:
        """Which documents or examples step ``step`` is made of, for messages."""
        ...


class SampleSource(Protocol):
    """Windows of tokens by index, such as ``towpath.tokenizer.samples.Samples``."""

    def ids(self, index: int) -> NDArray[np.int64]:
        """Sample ``index``: its token ids, as many in every sample."""
        ...


SamplesT = TypeVar("SamplesT", bound=SampleSource)


class TokenBatches(Generic[SamplesT]):
    """Pre-training batches: sample i of step s is sample ``s * samples_per_step + i`` of the run.

    ``examples`` makes of windows what the model is called with; without, every token of a window after
    its first is a target. A rank takes every ``world_size``-th micro-batch.
    """

    def __init__(
        self,
        samples: SamplesT,
        batch_size: int,
        accumulation: int,
        rank: int = 0,
        world_size: int = 1,
        examples: Examples | None = None,
    ) -> None:
        self.samples = samples
        self.examples: Examples = examples or CausalExamples()
        self.batch_size = batch_size
        self.accumulation = accumulation
        self.rank = rank
        self.world_size = world_size

    @property
    def samples_per_step(self) -> int:
        """Windows of one optimizer update, over all ranks."""
        return self.batch_size * self.accumulation * self.world_size

    def indices(self, step: int) -> range:
        """The sample indices of optimizer step ``step``, over all ranks."""
        first = step * self.samples_per_step
        return range(first, first + self.samples_per_step)

    def batch(self, step: int) -> Batch:
        """See ``BatchSource.batch``."""
        micro_batches: list[dict[str, Tensor]] = []
        n_ids = 0
        for position in range(self.accumulation):
            first = (step * self.accumulation + position) * self.world_size + self.rank
            indices = range(first * self.batch_size, (first + 1) * self.batch_size)
            ids = np.stack([self.samples.ids(index) for index in indices])
            n_ids = ids.shape[1]
            arrays = self.examples.arrays(ids, indices)
            micro_batches.append({name: torch.from_numpy(value) for name, value in arrays.items()})
        targets = sum(self.examples.targets(index, n_ids) for index in self.indices(step))
        return Batch(micro_batches, targets)

    def describe(self, step: int) -> str:
        """See ``BatchSource.describe``."""
        indices = self.indices(step)
        return f"samples {indices.start} to {indices.stop - 1}"

    @property
    def source_names(self) -> list[str]:
        """All sources that are ever drawn, where the samples know; else none."""
        return list(getattr(self.samples, "sources", ()))

    def sources(self, step: int) -> list[list[str]]:
        """The source of each row of each micro-batch of ``batch(step)``."""
        draw = getattr(self.samples, "draw")  # noqa: B009 - where there are ``source_names``
        return [
            [draw(first * self.batch_size + row).source for row in range(self.batch_size)]
            for position in range(self.accumulation)
            for first in [(step * self.accumulation + position) * self.world_size + self.rank]
        ]

    def documents(self, step: int) -> list[str]:
        """The ids of the documents that step ``step`` is made of, where the samples know theirs."""
        provenance = getattr(self.samples, "provenance", None)
        if provenance is None:
            return []
        return list(dict.fromkeys(span.document_id for i in self.indices(step) for span in provenance(i)))


def ahead(source: BatchSource, first_step: int, steps: int, workers: int) -> Iterator[Batch]:
    """The batches of ``steps`` steps from ``first_step`` in order, prepared by ``workers`` threads ahead."""
    last = first_step + steps
    if workers == 0:
        yield from map(source.batch, range(first_step, last))
        return
    with ThreadPoolExecutor(workers, thread_name_prefix="batches") as pool:
        waiting: deque[Future[Batch]] = deque()
        for step in range(first_step, last):
            waiting.append(pool.submit(source.batch, step))
            if len(waiting) > workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
