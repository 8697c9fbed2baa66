"""The plan of a run: everything that is known before anything is spent."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from towpath.model.size import count_parameters
from towpath.plan.disk import Disk, disk_of
from towpath.plan.loss import Expected, expected
from towpath.plan.machine import Machine
from towpath.plan.prices import Device, Quote, kilowatt_hours, quotes
from towpath.plan.room import free_memory_bytes
from towpath.plan.trace import Trace, trace_step
from towpath.recipes.run_config import RunConfig


@dataclass(frozen=True)
class Plan:
    """A run's pre-training before it starts. What is None is not known without a measured machine."""

    parameters: int
    steps: int
    tokens_a_step: int
    tokens: int
    flops: float
    """Of all training steps: matrix products and attention, as computed."""
    disk: Disk
    memory: Mapping[str, int]
    """Bytes by kind at the peak, with ``framework`` and ``allocator`` where the machine was measured."""
    seconds_a_step: float | None
    seconds: float | None
    """Training steps and validations; no saves, no other stages."""
    kilowatt_hours: float | None
    """On this machine, where a price list says what "here" draws."""
    cost: tuple[float, str] | None
    """On this machine, with its currency, where a price list says so."""
    loss: Expected | None
    quotes: tuple[Quote, ...]
    free_memory_bytes: int | None
    free_disk_bytes: int

    @property
    def peak_bytes(self) -> int:
        """Of memory."""
        return sum(self.memory.values())

    @property
    def lacks(self) -> tuple[str, ...]:
        """What there is too little of: memory, disk."""
        lacking = []
        if self.free_memory_bytes is not None and self.peak_bytes > self.free_memory_bytes:
            lacking.append("memory")
        if self.disk.most > self.free_disk_bytes:
            lacking.append("disk")
        return tuple(lacking)

    def facts(self) -> dict[str, Any]:
        """As plain JSON types."""
        return {**asdict(self), "peak_bytes": self.peak_bytes, "lacks": list(self.lacks)}


def make_plan(
    config: RunConfig,
    home: Path,
    machine: Machine | None = None,
    entries: list[Device] | None = None,
    memory_bytes: int | None = None,
) -> Plan:
    """The plan of ``config``, on ``machine`` where it was measured.

    ``memory_bytes``: what there is to fit into. None: what is free on this machine.

    Raises:
        ConfigError: a model of this kind can't be planned.
    """
    model = config.model.for_tokenizer(config.tokenizer.vocab_size)
    train = config.train
    trace = trace_step(model, train)
    memory = memory_of(trace, machine)
    tokens_a_step = train.batch_size * train.gradient_accumulation_steps * model.n_positions
    tokens = tokens_a_step * train.max_steps
    seconds_a_step = machine.seconds(trace) if machine else None
    seconds = None
    if seconds_a_step is not None:
        seconds = seconds_a_step * (train.max_steps + _validation_steps(config, tokens_a_step))
    here = next((device for device in entries or () if device.name == "here"), None)
    watts, price = (here.power_watts, here.price_per_hour) if here else (None, None)
    flops = trace.costs.flops * train.max_steps
    return Plan(
        parameters=count_parameters(model),
        steps=train.max_steps,
        tokens_a_step=tokens_a_step,
        tokens=tokens,
        flops=flops,
        disk=disk_of(trace, train.keep_checkpoints),
        memory=memory,
        seconds_a_step=seconds_a_step,
        seconds=seconds,
        kilowatt_hours=kilowatt_hours(seconds, watts) if seconds and watts else None,
        cost=(seconds / 3600 * price, here.currency) if here and seconds and price is not None else None,
        loss=expected(model, tokens),
        quotes=tuple(quotes(flops, sum(trace.peak().values()), entries or ())),
        free_memory_bytes=free_memory_bytes() if memory_bytes is None else memory_bytes,
        free_disk_bytes=shutil.disk_usage(_existing(home)).free,
    )


def memory_of(trace: Trace, machine: Machine | None) -> dict[str, int]:
    """Peak memory by what it is for."""
    memory: dict[str, int] = {**trace.peak()}
    if machine:
        tensors = sum(memory.values())
        memory["allocator"] = max(0, machine.peak_bytes(trace) - machine.baseline_bytes - tensors)
        memory["framework"] = machine.baseline_bytes
    return memory


def _validation_steps(config: RunConfig, tokens_a_step: int) -> float:
    """Validations in training steps: a forward pass is a third of a step."""
    validations = -(-config.train.max_steps // config.train.eval_steps)
    tokens = config.evaluate.training_tokens * len(config.data.sources)
    return validations * tokens / tokens_a_step / 3


def _existing(home: Path) -> Path:
    absolute = home.absolute()
    return next(path for path in (absolute, *absolute.parents) if path.exists())
