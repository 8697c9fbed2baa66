"""Where and in which type the matrix products run: device, autocast, loss scaling, threads.

Loss scaling is the specification's DeepSpeed block: from 2^16, doubled after 1,000 good steps in a
row, halved from the second overflow after a doubling on (hysteresis 2), never below 1.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import torch
from torch import nn

from towpath.core.errors import TrainError
from towpath.core.processes import local_rank
from towpath.train.config import TrainConfig

_TYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}

_M_MMAP_THRESHOLD = -3
"""glibc, malloc.h."""
_FP8_CAPABILITY = (8, 9)
"""Ada and Hopper: the first with fp8 products."""

INITIAL_SCALE, WINDOW, HYSTERESIS, LEAST_SCALE = 2.0**16, 1000, 2, 1.0
"""The specification's block: loss_scale 0 (found by itself, from 2^16), loss_scale_window, hysteresis,
min_loss_scale."""


@dataclass(frozen=True)
class Precision:
    """``name`` is fp32, bf16, fp16, int8 or fp8; ``scaler`` exists for fp16 only."""

    device: torch.device
    name: str
    scaler: LossScaler | None
    offload: bool = False
    """Whether activations wait for the backward pass in the host's memory."""

    @property
    def matmul_type(self) -> torch.dtype:
        """The type that the matmul ceiling is measured in."""
        return _TYPES.get(self.name, torch.float32)

    def prepare_(self, model: nn.Module) -> None:
        """Make the linear layers of ``model`` compute as ``name`` says, where autocast does not."""
        if self.name == "int8":
            from towpath.model.int8 import use_int8_

            use_int8_(model)
        elif self.name == "fp8":
            from towpath.model.float8 import use_float8_

            use_float8_(model)

    @contextmanager
    def forward(self) -> Iterator[None]:
        """The context of every forward pass in training."""
        with ExitStack() as stack:
            if self.name in _TYPES:
                stack.enter_context(torch.autocast(self.device.type, _TYPES[self.name]))
            elif self.name != "fp32" and self.device.type != "cpu":  # what is not of the linear layers
                stack.enter_context(torch.autocast(self.device.type, torch.bfloat16))
            if self.offload:
                pinned = self.device.type != "cpu"
                stack.enter_context(torch.autograd.graph.save_on_cpu(pin_memory=pinned))
            yield


class LossScaler(torch.amp.GradScaler):  # pyright: ignore[reportPrivateImportUsage]
    """DeepSpeed's dynamic loss scale (``loss_scaler.py``, ``DynamicLossScaler``) in torch's interface.

    torch's own has no hysteresis and no least scale, so ``update`` is DeepSpeed's: an overflow uses up
    one of ``HYSTERESIS``, the last one halves the scale; ``WINDOW`` steps after the last overflow, and
    every ``WINDOW`` again, the scale is doubled and the hysteresis is full.
    """

    def __init__(self, device: str) -> None:
        super().__init__(device, init_scale=INITIAL_SCALE, growth_interval=WINDOW)
        self.steps = 0
        self.last_overflow = -1
        self.left = HYSTERESIS

    def update(self, new_scale: Any = None) -> None:
        """Learn of the step that was made or refused."""
        found = [
            float(value)
            for state in self._per_optimizer_states.values()
            for value in state["found_inf_per_device"].values()
        ]
        scale = self.get_scale()
        if sum(found) > 0:
            if self.left == 1:
                scale = max(scale / 2, LEAST_SCALE)
            else:
                self.left -= 1
            self.last_overflow = self.steps
        elif (good := self.steps - self.last_overflow - 1) > 0 and good % WINDOW == 0:
            self.left = HYSTERESIS
            scale *= 2
        self.steps += 1
        super().update(scale)

    def state_dict(self) -> dict[str, Any]:
        """All that later scales depend on, as plain JSON."""
        return {
            **super().state_dict(),
            "steps": self.steps,
            "last_overflow": self.last_overflow,
            "left": self.left,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take back what ``state_dict`` gave."""
        super().load_state_dict(state_dict)
        self.steps = state_dict["steps"]
        self.last_overflow = state_dict["last_overflow"]
        self.left = state_dict["left"]


def choose_device(wish: str) -> torch.device:
    """The device that ``wish`` (auto, cpu or cuda) means on this machine.

    Raises:
        TrainError: cuda was asked for and there is none.
    """
    there = torch.cuda.is_available()
    if wish == "cuda" and not there:
        raise TrainError(
            'train.device = "cuda", but torch sees no GPU here. Try device = "auto"; see: towpath doctor'
        )
    return torch.device("cuda", local_rank()) if there and wish != "cpu" else torch.device("cpu")


def check_device(config: TrainConfig) -> None:
    """Refuse a device that is not here, or a precision that it does not have.

    Raises:
        TrainError: says what to use.
    """
    device = choose_device(config.device)
    if config.precision == "fp8":
        _check_fp8(device)


def choose_precision(config: TrainConfig) -> Precision:
    """Device and type of the matrix products; sets the number of CPU threads."""
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    if config.lean_memory:
        give_memory_back()
    device = choose_device(config.device)
    name = "fp16" if config.fp16 else config.precision
    if name == "auto":
        name = "fp32" if device.type == "cpu" else "bf16"
    if name == "fp16" and device.type == "cpu":
        print("train: fp16 needs a GPU; this run uses fp32, the fast type of a CPU.", file=sys.stderr)
        name = "fp32"
    if name == "int8":
        _warn_of_slow_int8(device)
    if name == "fp8":
        _check_fp8(device)
    scaler = LossScaler(device.type) if name == "fp16" else None
    return Precision(device, name, scaler, config.activation_offload)


def give_memory_back() -> bool:
    """From now on tensors of more than 1 MiB go back to the system when they are freed. Returns whether.

    glibc's malloc keeps freed blocks of up to 32 MiB, and what is between them stays unused: training 124 M
    weights at a context of 1,024 used 2.93 GB at most, and 2.54 with this.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and bool(mallopt(_M_MMAP_THRESHOLD, 1 << 20))


def _warn_of_slow_int8(device: torch.device) -> None:
    from towpath.model import int8

    fast, plain = int8.speeds(device)
    if fast < plain / 2:  # a quick measurement: what is about as fast is not called slow
        print(
            f"train: int8 products are {plain / fast:.2g} times slower than fp32 here ({fast:.3g} against "
            f"{plain:.3g} billion operations a second). A CPU gains with AVX2 or VNNI; use precision = fp32.",
            file=sys.stderr,
        )


def _check_fp8(device: torch.device) -> None:
    capable = device.type == "cuda" and torch.cuda.get_device_capability(device) >= _FP8_CAPABILITY
    if not capable:
        what = torch.cuda.get_device_name(device) if device.type == "cuda" else "a CPU"
        raise TrainError(
            f'train.precision = "fp8" needs a GPU of compute capability 8.9 or more, and this is {what}. '
            'Use precision = "auto".'
        )
    if find_spec("torchao") is None:
        raise TrainError('train.precision = "fp8" needs torchao. Install it with: pip install torchao')
