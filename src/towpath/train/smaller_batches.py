"""Smaller micro-batches after an out of memory: the same step, in more forward passes.

``train.auto_micro_batch``: where a step does not fit, its gradients are dropped, the random state is
put back to the start of the step, and the step is made again with micro-batches of half as many
sequences, and so are all after it. A step's loss is a sum over its targets divided by their number, so
the weights differ from those of whole micro-batches in the last bits alone. (A mixture of experts
balances the load of each forward pass by itself, so there the balance is of the smaller pass.)

From which step on is in ``micro_batches.json``, which is on the disk before the step is made again, and
in every checkpoint: a run that is killed at any instant and started again cuts the same steps the
same way. Of several processes those that are not out of memory wait for the one that is, inside an
exchange that never ends; so that process writes the file and ends the job as one to be started again.
"""

from __future__ import annotations

import gc
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from towpath.core.files import readable_json, write_durably
from towpath.train.batches import Batch
from towpath.train.events import SMALLER, Event
from towpath.train.memory import OutOfMemoryError, is_out_of_memory
from towpath.train.parallel.heartbeat import LOST
from towpath.train.parallel.strategy import Strategy
from towpath.train.saves import random_state, set_random_state

OUT_OF_MEMORY = "out of memory"


class StartAgainError(OutOfMemoryError):
    """The job is to be started again; it goes on with smaller micro-batches."""

    exit_code = LOST


class SmallerBatches:
    """From which steps on micro-batches are cut, and to how many sequences."""

    def __init__(
        self,
        enabled: bool = False,
        path: Path | None = None,
        report: Callable[[Event], None] = lambda event: None,
    ) -> None:
        """``path`` is ``micro_batches.json``; ``report`` is told of every cut when it is decided."""
        self.enabled = enabled
        self.path = path
        self.report = report
        self.events: list[Event] = []
        if path is not None and path.exists():
            self.events = json.loads(path.read_bytes())["events"]

    def state(self) -> list[Event]:
        """All cuts so far, as plain JSON."""
        return list(self.events)

    def load(self, events: Sequence[Event], *, write: bool) -> None:
        """Take back those of ``state`` that are not known yet; ``write``: durably."""
        more = [event for event in events if event not in self.events]
        if more:
            self._add(more, write=write)

    def rows(self, step: int) -> int | None:
        """The most sequences of a forward pass in ``step``; None: as many as there are."""
        return min((event["batch_size"] for event in self.events if event["step"] <= step), default=None)

    def cut(self, batch: Batch, step: int) -> Batch:
        """``batch`` in micro-batches of no more than ``rows(step)``."""
        rows = self.rows(step)
        if rows is None:
            return batch
        pieces = []
        for micro_batch in batch.micro_batches:
            parts = {name: value.split(rows) for name, value in micro_batch.items()}
            pieces += [dict(zip(parts, values, strict=True)) for values in zip(*parts.values(), strict=True)]
        return Batch(pieces, batch.target_tokens)

    def attempt(self, work: Callable[[Batch], float], batch: Batch, step: int, strategy: Strategy) -> float:
        """``work`` on the micro-batches of ``step``, again with smaller ones where memory is not enough.

        Raises:
            StartAgainError: in a job of several processes.
            RuntimeError: as torch raised it, where this is off or a micro-batch is one sequence.
        """
        while True:
            cut = self.cut(batch, step)
            if not self.enabled:
                return work(cut)
            before = random_state(strategy.precision.device)
            try:
                return work(cut)
            except RuntimeError as error:  # whose frames hold the activations until it is forgotten
                sequences = sequences_of(cut)
                if not is_out_of_memory(error) or sequences == 1:
                    raise
                said = str(error).strip().splitlines()[0]
            self._halve(step, sequences, said, strategy)
            _forget(strategy)
            set_random_state(before)

    def _halve(self, step: int, sequences: int, said: str, strategy: Strategy) -> None:
        event = {
            "step": step,
            "kind": OUT_OF_MEMORY,
            "action": SMALLER,
            "batch_size": -(-sequences // 2),
            "batch_size_before": sequences,
        }
        self._add([event], write=True)
        text = f"step {step}: out of memory with {sequences} sequences in a forward pass ({said}); "
        if strategy.world_size > 1:
            raise StartAgainError(
                f"train: rank {strategy.rank}, {text}from this step on there will be "
                f"{event['batch_size']}. Start the job again: it goes on from its last save."
            )
        self.report(event)

    def _add(self, events: Sequence[Event], *, write: bool) -> None:
        self.events = [*self.events, *events]
        if write and self.path is not None:
            write_durably(self.path, readable_json({"events": self.events}))


def sequences_of(batch: Batch) -> int:
    """The most sequences of a forward pass."""
    return max(len(value) for micro_batch in batch.micro_batches for value in micro_batch.values())


def _forget(strategy: Strategy) -> None:
    """Drop what the failed attempt left."""
    for parameter in strategy.trained.parameters():
        parameter.grad = None
    gc.collect()
    if strategy.precision.device.type == "cuda":
        torch.cuda.empty_cache()
