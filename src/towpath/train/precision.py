"""Where and in which type the matrix products run: device, autocast, loss scaling, threads."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch

from towpath.core.errors import TrainError
from towpath.train.config import TrainConfig

_TYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Precision:
    """``name`` is fp32, bf16 or fp16; ``scaler`` exists for fp16 only."""

    device: torch.device
    name: str
    scaler: torch.amp.GradScaler | None  # pyright: ignore[reportPrivateImportUsage]

    def autocast(self) -> AbstractContextManager[Any]:
        """The context of every forward pass."""
        if self.name == "fp32":
            return nullcontext()
        return torch.autocast(self.device.type, _TYPES[self.name])


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
    return torch.device("cuda" if there and wish != "cpu" else "cpu")


def choose_precision(config: TrainConfig) -> Precision:
    """Device and type of the matrix products; sets the number of CPU threads."""
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    device = choose_device(config.device)
    name = "fp16" if config.fp16 else config.precision
    if name == "auto":
        name = "fp32" if device.type == "cpu" else "bf16"
    if name == "fp16" and device.type == "cpu":
        print("train: fp16 needs a GPU; this run uses fp32, the fast type of a CPU.", file=sys.stderr)
        name = "fp32"
    scaler = torch.amp.GradScaler(device.type) if name == "fp16" else None  # pyright: ignore[reportPrivateImportUsage]
    return Precision(device, name, scaler)
