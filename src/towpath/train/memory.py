"""Out of memory: how it is told from other failures, where the memory went, what to do about it.

Comes in: what torch raised, and what trains. Goes out: an ``OutOfMemoryError`` with bytes by what they
are for and the three cheapest remedies. Knows nothing of plans: the command line adds what the plan
of the run knows.
"""

from __future__ import annotations

import resource
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor

from towpath.core.errors import TrainError
from towpath.core.units import size
from towpath.train.config import TrainConfig
from towpath.train.parallel.strategy import Strategy

MOST_REMEDIES = 3
REST = "activations, logits, temporary"
_SAID = ("DefaultCPUAllocator: can't allocate memory", "DefaultCPUAllocator: not enough memory",
         "CUBLAS_STATUS_ALLOC_FAILED")  # fmt: skip
"""What torch says of it in a plain ``RuntimeError``."""


class OutOfMemoryError(TrainError):
    """A device had no room for what a step needs; nothing of that step was applied."""

    def __init__(self, text: str, account: Mapping[str, int] | None = None, room_bytes: int | None = None):
        super().__init__(text)
        self.account = dict(account or {})
        """Bytes by what they were for, at the peak."""
        self.room_bytes = room_bytes
        """What the device has in all."""
        self.stage = "train"
        """The name of the stage that it came in."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether ``error`` says that a GPU's or the CPU's memory was not enough."""
    if isinstance(error, torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(said in str(error) for said in _SAID)


def explained(
    error: BaseException, config: TrainConfig, strategy: Strategy, step: int, batch_size: int
) -> OutOfMemoryError:
    """What to raise for ``error``, which came in ``step`` with ``batch_size`` sequences a forward pass."""
    device = strategy.precision.device
    account, room = where_it_went(strategy), _room(device)
    width = max(map(len, account))
    rows = [f"  {name:<{width}}{size(taken):>12}" for name, taken in account.items()]
    of = f" of {size(room)}" if room else ""
    remedies = list(_remedies(config, device, batch_size))[:MOST_REMEDIES]
    text = (
        f"Step {step}: out of memory on {_named(device)} with {batch_size} sequences in a forward pass "
        f"({str(error).strip().splitlines()[0]}). Nothing of this step was kept; the last checkpoint is "
        "good, and the same command goes on from it.\n"
        f"Where the memory{of} went, at the peak:\n" + "\n".join(rows) + "\n"
        "The cheapest remedies:\n" + "\n".join(f"  {one}" for one in remedies)
    )
    return OutOfMemoryError(text, account, room)


def where_it_went(strategy: Strategy) -> dict[str, int]:
    """Bytes of this process by what they are for; the rest is what the peak holds besides."""
    parameters = list(strategy.trained.parameters())
    gradients = [value.grad for value in parameters if value.grad is not None]
    states = [
        value
        for part in strategy.optimizer.parts.values()
        for slots in part.state.values()
        for value in slots.values()
        if isinstance(value, Tensor)
    ]
    known = {
        "parameters": _bytes(parameters),
        "gradients": _bytes(gradients),
        "optimizer": _bytes(states),
    }
    device = strategy.precision.device
    rest = REST if device.type == "cuda" else f"Python, torch, {REST}"
    return {**known, rest: max(0, _peak(device) - sum(known.values()))}


def _remedies(config: TrainConfig, device: torch.device, batch_size: int) -> Iterator[str]:
    """The cheapest first; with those of the first group the same run goes on."""
    if batch_size > 1 and not config.auto_micro_batch:
        yield (
            "train.auto_micro_batch=true: forward passes of half as many sequences, twice as many a step, "
            "and again until it fits; a step holds the same, and this run goes on"
        )
    if not config.gradient_checkpointing:
        yield (
            "train.gradient_checkpointing=true: activations are computed again where they are needed, "
            "a third more work; the same weights, and this run goes on"
        )
    if device.type == "cuda" and not config.activation_offload:
        yield (
            "train.activation_offload=true: activations wait in the host's memory, slower by what the link "
            "takes; the same weights, and this run goes on"
        )
    if config.parallel.type != "fsdp":
        yield (
            "train.parallel.type=fsdp with more processes: weights, gradients and optimizer state are shared "
            "out; this run goes on (towpath launch local -n 2)"
        )
    if config.optimizer.type == "adamw":
        yield 'train.optimizer={type="adamw8bit"}: moments of one byte where AdamW has four; another run'
    yield "a smaller model.n_positions, n_layer or n_embd: another run; see what fits: towpath plan"


def _bytes(tensors: Iterable[Tensor]) -> int:
    local = (value.to_local() if isinstance(value, DTensor) else value for value in tensors)
    return sum(value.numel() * value.element_size() for value in local)


def _peak(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _room(device: torch.device) -> int | None:
    about: Any = torch.cuda.get_device_properties(device) if device.type == "cuda" else None
    return about.total_memory if about else None


def _named(device: torch.device) -> str:
    return f"{device} ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else "the CPU"
