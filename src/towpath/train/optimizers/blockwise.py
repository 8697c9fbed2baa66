"""AdamW with 8-bit moments: block-wise dynamic quantisation.

Dettmers et al. 2022, arXiv:2110.02861, section 2: a block of weights shares its largest absolute moment
as scale, and each moment is the nearest of 256 values of a fixed map (section 1.3, dynamic tree
quantisation as in bitsandbytes). As there, tensors below 4,096 weights, or that blocks don't divide, keep
fp32 moments. torchao's AdamW8bit does the same; it asks for torch.compile and keeps tensors of a class of
its own, so this one is plain torch, and its state plain tensors: codes (uint8), scales, moments.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from towpath.core.errors import TrainError

if TYPE_CHECKING:
    from jaxtyping import Float, UInt8

LEAST_WEIGHTS = 4096
"""Smaller tensors keep fp32 moments (bitsandbytes)."""
_AT_ONCE = 1 << 20
"""Weights whose moments stand in fp32 at the same time."""


@cache
def dynamic_map(*, signed: bool) -> Float[Tensor, " values"]:
    """The values that codes stand for, sorted; fp32. Seven decades, each with twice as many."""
    values = [0.0, 1.0]
    for decade in range(7):
        n_bounds = 2**decade + 1 if signed else 2 ** (decade + 1) + 1
        bounds = torch.linspace(0.1, 1, n_bounds)
        means = (bounds[:-1] + bounds[1:]) / 2 * 10.0 ** (decade - 6)
        values += means.tolist()
        if signed:
            values += (-means).tolist()
    return torch.tensor(sorted(values))


def quantize(
    moments: Float[Tensor, " N"], block_size: int, *, signed: bool
) -> tuple[UInt8[Tensor, " N"], Float[Tensor, " blocks"]]:
    """Codes of ``moments``, the nearest of the map, and the scale of each block."""
    blocks = moments.view(-1, block_size)
    scales = blocks.abs().amax(1).clamp(min=1e-12)
    table = dynamic_map(signed=signed).to(moments.device)
    between = (table[1:] + table[:-1]) / 2
    codes = torch.bucketize(blocks / scales.unsqueeze(1), between, out_int32=True)
    return codes.to(torch.uint8).view(-1), scales


def dequantize(
    codes: UInt8[Tensor, " N"], scales: Float[Tensor, " blocks"], *, signed: bool
) -> Float[Tensor, " N"]:
    """The moments that ``quantize`` stored."""
    table = dynamic_map(signed=signed).to(codes.device)
    return (table[codes.int()].view(len(scales), -1) * scales.unsqueeze(1)).view(-1)


class AdamW8bit(torch.optim.Optimizer):
    """``torch.optim.AdamW`` with moments of one byte."""

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
        block_size: int = 256,
    ) -> None:
        settings = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, {**settings, "block_size": block_size})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Update every parameter that has a gradient."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, group)

    def _update(self, parameter: Tensor, group: dict[str, Any]) -> None:
        _check_whole(parameter)
        gradient = parameter.grad
        assert gradient is not None
        state = self.state[parameter]
        if not state:
            state |= _empty_state(parameter, group["block_size"])
        state["step"] += 1
        step = float(state["step"])
        parameter.mul_(1 - group["lr"] * group["weight_decay"])
        weights, gradients = parameter.view(-1), gradient.reshape(-1)
        at_once = max(1, _AT_ONCE // group["block_size"]) * group["block_size"]
        for start in range(0, len(weights), at_once):
            part = slice(start, start + at_once)
            mean, square = (
                _read(state, name, part, group["block_size"]) for name in ("exp_avg", "exp_avg_sq")
            )
            beta1, beta2 = group["betas"]
            mean.lerp_(gradients[part].float(), 1 - beta1)
            square.lerp_(gradients[part].float().square(), 1 - beta2)
            root = (square / (1 - beta2**step)).sqrt_().add_(group["eps"])
            weights[part].addcdiv_(
                mean.to(weights.dtype), root.to(weights.dtype), value=-group["lr"] / (1 - beta1**step)
            )
            _write(state, "exp_avg", part, mean, group["block_size"])
            _write(state, "exp_avg_sq", part, square, group["block_size"])


def _check_whole(parameter: Tensor) -> None:
    if hasattr(parameter, "placements"):
        raise TrainError(
            "adamw8bit keeps the moments of whole weights, and train.parallel cuts them up. Set "
            "train.parallel.type to single or ddp, or train.optimizer.type to adamw or muon."
        )


def _empty_state(parameter: Tensor, block_size: int) -> dict[str, Tensor]:
    state = {"step": torch.tensor(0.0)}
    if parameter.numel() < LEAST_WEIGHTS or parameter.numel() % block_size:
        flat = torch.zeros(parameter.numel(), device=parameter.device)
        return {**state, "exp_avg": flat, "exp_avg_sq": flat.clone()}
    for name in ("exp_avg", "exp_avg_sq"):
        codes, scales = quantize(
            torch.zeros(parameter.numel(), device=parameter.device), block_size, signed=name == "exp_avg"
        )
        state |= {name: codes, f"{name}_scales": scales}
    return state


def _read(state: dict[str, Tensor], name: str, part: slice, block_size: int) -> Float[Tensor, " N"]:
    stored = state[name][part]
    if stored.dtype != torch.uint8:
        return stored
    blocks = slice(part.start // block_size, part.stop // block_size)
    return dequantize(stored, state[f"{name}_scales"][blocks], signed=name == "exp_avg")


def _write(state: dict[str, Tensor], name: str, part: slice, moments: Tensor, block_size: int) -> None:
    stored = state[name][part]
    if stored.dtype != torch.uint8:
        return  # what was read was the state itself, and is changed
    codes, scales = quantize(moments, block_size, signed=name == "exp_avg")
    stored.copy_(codes)
    state[f"{name}_scales"][part.start // block_size : part.stop // block_size].copy_(scales)
