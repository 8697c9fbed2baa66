"""Tensor parallelism of the decoder's blocks by torch's DTensor.

Shoeybi et al. 2019, arXiv:1909.08053, section 3: the first matrix of attention and of feed-forward
is cut by its outputs (whole heads), the second by its inputs, so that a block sends two sums
forward and two back. Embedding, norms and output head are whole in every process. A fused matrix is
cut part by part. All processes learn from the same micro-batches; saves hold whole tensors under the
names of one process, so any mode goes on from them.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.tensor import DTensor
from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module

from towpath.core.config import change
from towpath.core.errors import TrainError
from towpath.model.attention import Attention
from towpath.model.feed_forward import FeedForward, SwiGLU
from towpath.model.linear import FusedLinear
from towpath.train.optimizer import Optimizers, build_optimizer
from towpath.train.parallel.fitting import check_fits, shapes_of_tensors
from towpath.train.parallel.grouped import Grouped
from towpath.train.parallel.norms import clip_
from towpath.train.parallel.shards import cut_like, in_one_piece
from towpath.train.saves import Saved

if TYPE_CHECKING:
    from towpath.model.language_model import LanguageModel
    from towpath.train.loop import StepsAndForgets


class Parts(nn.Module):
    """A fused linear layer as layers of their own, which can be cut one by one."""

    def __init__(self, fused: FusedLinear) -> None:
        super().__init__()
        self.part = nn.ModuleList()
        biases = [None] * len(fused.part_sizes) if fused.bias is None else fused.bias.split(fused.part_sizes)
        for weight, bias in zip(fused.weight.split(fused.part_sizes), biases, strict=True):
            linear = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, device="meta")
            linear.weight = nn.Parameter(weight.detach().clone())
            if bias is not None:
                linear.bias = nn.Parameter(bias.detach().clone())
            self.part.append(linear)

    def parts(self, x: Tensor) -> tuple[Tensor, ...]:
        """What this process computes of each part's output."""
        return tuple(linear(x) for linear in self.part)


class CutModel(Grouped):
    """A part of each block's matrices in every process. ``plain`` is a second model, with whole weights."""

    def _data_place(self) -> tuple[int, int]:
        return 0, 1

    def total(self, value: Tensor) -> Tensor:
        """See ``Strategy.total``: all processes learned from the same."""
        return value

    def prepare(self, model: LanguageModel) -> None:
        """See ``Strategy.prepare``."""
        check_cuts(model, self.world_size)
        self.plain = model
        self.trained = copy.deepcopy(model)
        mesh = init_device_mesh(self.precision.device.type, (self.world_size,))
        for module in self.trained.modules():
            if isinstance(module, Attention | FeedForward | SwiGLU):
                _cut_(module, mesh)
        self.of_heads = [
            parameter
            for module in self.trained.modules()
            if isinstance(module, Attention)
            for norm in (module.query_norm, module.key_norm)
            if norm is not None
            for parameter in norm.parameters()
        ]
        self.optimizer = build_optimizer(self.trained, self.config)
        _separate_cut_(self.optimizer)

    def clip(self, optimizer: StepsAndForgets) -> float:
        """See ``Strategy.clip``. The norms of queries and keys saw this process's heads alone."""
        for parameter in self.of_heads:
            if parameter.grad is not None:
                self.group.sum_(parameter.grad)
        self.unscale(optimizer)
        return clip_(self.trained.parameters(), self.config.max_grad_norm, self.group)

    @torch.no_grad()
    def whole(self) -> LanguageModel:
        """See ``Strategy.whole``."""
        target = dict(self.plain.named_parameters())
        for name, value in _joined(dict(self.trained.named_parameters())).items():
            target[name].copy_(value)
        return self.plain

    @torch.no_grad()
    def whole_tensors(self) -> tuple[Mapping[str, Tensor], Mapping[str, Tensor]]:
        """See ``Grouped.whole_tensors``."""
        return _joined(dict(self.trained.named_parameters())), _joined(self.optimizer.tensors())

    @torch.no_grad()
    def load(self, saved: Saved) -> None:
        """See ``Strategy.load``."""
        state = saved.state()
        plain = dict(self.plain.named_parameters())
        check_fits(plain, shapes_of_tensors(state.model), saved.path)
        parameters = dict(self.trained.named_parameters())
        for name, value in _cut_apart(state.model, parameters).items():
            parameters[name].copy_(value)
        self.optimizer.load_tensors(_cut_apart(state.optimizer, parameters))


def check_cuts(model: nn.Module, processes: int) -> None:
    """Refuse a model that can't be cut into ``processes`` equal parts.

    Raises:
        TrainError: with both numbers and one that works.
    """
    config = getattr(model, "config", None)
    blocks = [module for module in model.modules() if isinstance(module, Attention)]
    positions = getattr(model, "positions", None)
    if not blocks or getattr(positions, "biases_scores", False):
        raise TrainError(
            'train.parallel = "tensor" cuts decoders whose positions add no bias to each head (learned, '
            'sinusoidal, rotary). Take train.parallel.type = "fsdp" for this model.'
        )
    for name, number in (
        ("n_head", blocks[0].shape.n_head),
        ("n_kv_head", blocks[0].shape.n_kv_head),
        ("n_inner", getattr(config, "inner_width", processes)),
        ("shared_width", getattr(config, "shared_width", None) or processes),
    ):
        if number % processes:
            other = _that_works(config, name, -(-number // processes) * processes, processes)
            raise TrainError(
                f"model.{name} = {number} can't be cut into {processes} equal parts, one a process. Start "
                f"{_largest_divisor(number, processes)} processes"
                + (f", or set model.{name} = {other}." if other else ".")
            )


def _that_works(config: Any, name: str, least: int, step: int) -> int | None:
    """The first of ``least``, ``least`` + ``step`` … that ``config`` can have as ``name``."""
    for number in range(least, least + 16 * step, step):
        with suppress(ValueError):
            change(config, {name: number})
            return number
    return None


def _largest_divisor(number: int, most: int) -> int:
    return next(divisor for divisor in range(most, 0, -1) if number % divisor == 0)


def _cut_(module: nn.Module, mesh: DeviceMesh) -> None:
    for name, layer in list(module.named_children()):
        if isinstance(layer, FusedLinear):
            parts = Parts(layer)
            setattr(module, name, parts)
            parallelize_module(parts, mesh, {"part.*": ColwiseParallel()})
        elif isinstance(layer, nn.Linear):
            parallelize_module(layer, mesh, RowwiseParallel() if name == "out" else ColwiseParallel())


def _separate_cut_(optimizer: Optimizers) -> None:
    """Give cut and whole parameters groups of their own: one fused update can't take both."""
    for part in optimizer.parts.values():
        groups: list[dict[str, Any]] = []
        for group in part.param_groups:
            cut = [value for value in group["params"] if isinstance(value, DTensor)]
            whole = [value for value in group["params"] if not isinstance(value, DTensor)]
            groups += [{**group, "params": params} for params in (cut, whole) if params]
        part.param_groups[:] = groups


def _name_of_one(name: str) -> str:
    """The name of a part's fused tensor."""
    return re.sub(r"\.part\.\d+\.", ".", name)


def _joined(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Whole tensors under the names of one process. All processes call it."""
    found: dict[str, list[Tensor]] = {}
    for name, value in tensors.items():
        found.setdefault(_name_of_one(name), []).append(in_one_piece(value.detach()))
    return {name: torch.cat(parts) if parts[0].ndim else parts[0] for name, parts in found.items()}


def _cut_apart(tensors: Mapping[str, Tensor], parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """This process's parts of ``tensors``, which stand under the names of one process."""
    cut: dict[str, Tensor] = {}
    for key, value in tensors.items():
        prefix, _, name = key.rpartition("/")
        parts = {full: parameter for full, parameter in parameters.items() if _name_of_one(full) == name}
        whole = [value] * len(parts)
        if value.ndim:
            whole = value.split([len(parameter) for parameter in parts.values()])
        for (full, parameter), part in zip(parts.items(), whole, strict=True):
            mine = (
                cut_like(part.to(parameter.device), parameter) if part.ndim else part.clone()
            )  # a step count each
            cut[f"{prefix}/{full}" if prefix else full] = mine
    return cut
