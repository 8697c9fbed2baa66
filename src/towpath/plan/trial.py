"""A few real steps of the run's own model on this machine, cut in depth until they are quick.

Comes in: a machine as measured on small models (``towpath.plan.machine``), a model's section and the
settings of training. Goes out: the same machine, its models of time and memory corrected so that they tell
what the trial took: time by a factor, memory by a number of bytes (by a factor too, 20 configurations cut to
1 to 3 layers were told within 11.5 % at the 90th percentile, so within 6.2).
The trial runs in a process of its own, and what it found lies in ``cache/trial-<key>.json`` of the home
folder, where the key is of the machine and of all that the trial computes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from towpath.core.config import change
from towpath.core.files import canonical_json, readable_json, write_durably
from towpath.model.config import TransformerConfig
from towpath.plan.machine import Machine, Trial, answer
from towpath.plan.room import free_memory_bytes
from towpath.plan.trace import Trace, trace_step
from towpath.train.config import TrainConfig

SECONDS = 20.0
"""The most that a trial is told to take, its model's making left out."""
LEAST_STEPS, MOST_STEPS = 3, 8
_MEMORY_SHARE = 0.5
"""The most of free memory that a trial is told to take."""
_ONE_PROCESS = {"device": "cpu", "precision": "fp32", "fp16": False, "compile": False}
_ONE_PROCESS |= {"parallel": {"type": "single"}, "activation_offload": False}
"""What a plan follows, and so what a trial runs."""


@dataclass(frozen=True)
class _Cut:
    model: TransformerConfig
    train: TrainConfig
    trace: Trace
    steps: int

    @property
    def asked(self) -> dict[str, Any]:
        model, train = (part.model_dump(mode="json") for part in (self.model, self.train))
        return {"model": model, "train": train, "steps": self.steps}


def tried(
    home: Path, machine: Machine, model: TransformerConfig, train: TrainConfig, *, run: bool = True
) -> Machine:
    """``machine`` as a trial of ``model`` found it; as it is where no cut is quick and small enough.

    ``run``: False looks for a trial of before and runs none.

    Raises:
        ConfigError: a model of this kind can't be planned.
        TowpathError: the trial failed.
    """
    cut = next(_quick_cuts(machine, model, train), None)
    if cut is None:
        return machine
    place = home / "cache" / f"trial-{_key(machine, cut)}.json"
    if not place.exists():
        if not run:
            return machine
        place.parent.mkdir(parents=True, exist_ok=True)
        write_durably(place, readable_json(asdict(_measured(machine, cut))))
    return machine.corrected(Trial(**json.loads(place.read_bytes())))


def _quick_cuts(machine: Machine, model: TransformerConfig, train: TrainConfig) -> Iterator[_Cut]:
    """The whole model, then fewer layers, then fewer sequences of one layer: those that may be tried."""
    free = free_memory_bytes()
    for layers, sequences in _sizes(model.n_layer, train.batch_size):
        passes = min(train.gradient_accumulation_steps, 2)  # a second pass finds the first one's gradients
        changed = {**_ONE_PROCESS, "batch_size": sequences, "gradient_accumulation_steps": passes}
        try:
            cut = with_layers(model, layers), change(train, changed)
        except ValueError:  # its settings name more layers
            continue
        trace = trace_step(*cut)
        steps = min(MOST_STEPS, int(SECONDS / machine.seconds(trace)))
        fits = free is None or machine.peak_bytes(trace) < _MEMORY_SHARE * free
        if steps >= LEAST_STEPS and fits:
            yield _Cut(*cut, trace, steps)


def _sizes(layers: int, sequences: int) -> Iterator[tuple[int, int]]:
    while layers > 1:
        yield layers, sequences
        layers = layers // 2
    while sequences:
        yield 1, sequences
        sequences //= 2


def with_layers(model: TransformerConfig, layers: int) -> TransformerConfig:
    """``model`` with ``layers`` blocks, in each of its stacks the same share of them."""
    if layers == model.n_layer:
        return model
    changed = {"n_layer": layers}
    decoder = getattr(model, "n_decoder_layer", None)
    if decoder:
        changed["n_decoder_layer"] = max(1, round(decoder * layers / model.n_layer))
    return change(model, changed)


def _measured(machine: Machine, cut: _Cut) -> Trial:
    found = answer(machine.threads, "towpath.plan.measure", json.dumps(cut.asked))
    seconds = median(found["seconds"][1:])
    return Trial(
        layers=cut.model.n_layer,
        batch_size=cut.train.batch_size,
        steps=cut.steps,
        seconds=seconds,
        peak_bytes=found["peak_bytes"],
        time_ratio=seconds / machine.seconds(cut.trace),
        more_bytes=found["peak_bytes"] - machine.peak_bytes(cut.trace),
    )


def _key(machine: Machine, cut: _Cut) -> str:
    """Two trials that compute the same and take the same memory on the same machine are one."""
    known = [
        asdict(machine),
        asdict(cut.trace.costs),
        cut.trace.events,
        cut.asked["train"]["optimizer"],
        cut.steps,
    ]
    return hashlib.sha256(canonical_json(known)).hexdigest()[:12]
