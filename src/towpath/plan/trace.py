"""A training step without its numbers: every tensor that it makes and drops, and what it computes.

Comes in: a model's section and the settings of training. Goes out: a ``Trace``. The code that
trains is what runs here, on tensors that have a shape and no memory (torch's FakeTensor), so that
any model that trains is followed as it is: chunked losses, saved activations, recomputed blocks,
temporary matrices of an optimizer. Whole numbers (token ids, masks over labels) are real; wherever
the code asks for the value of a real number, it is told 1.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from towpath.core.errors import ConfigError
from towpath.model.config import DecoderConfig, TransformerConfig
from towpath.model.language_model import LanguageModel
from towpath.plan.operations import Costs, costs_of
from towpath.train.batches import Batch
from towpath.train.config import TrainConfig
from towpath.train.loop import accumulate
from towpath.train.parallel.strategy import Strategy
from towpath.train.precision import Precision

Kind = Literal["parameters", "gradients", "optimizer", "logits", "activations", "temporary"]
KINDS: tuple[Kind, ...] = ("parameters", "gradients", "optimizer", "logits", "activations", "temporary")
"""What memory is for. Logits are the chunk of the loss; temporary is what clipping and updating take."""

_aten = torch.ops.aten
_STEPS = 2  # the first makes the optimizer's state, the second is as all others


@dataclass
class Trace:
    """What a step does."""

    events: list[tuple[int, int]] = field(default_factory=list)
    """(block, bytes) when memory is taken and (-block, bytes) when it is given back, in order."""
    kinds: dict[int, Kind] = field(default_factory=dict)
    """What each block is for."""
    costs: Costs = field(default_factory=Costs)
    """Of one whole step, all its micro-batches included."""
    update: Costs = field(default_factory=Costs)
    """Of them, what clipping and updating cost, once a step."""
    state: dict[str, tuple[tuple[int, ...], torch.dtype]] = field(default_factory=dict)
    """Shape and type of every tensor of the optimizer's state, as a checkpoint names them."""
    weights: dict[str, tuple[tuple[int, ...], torch.dtype]] = field(default_factory=dict)
    """Shape and type of every parameter."""

    blocks: int = 0
    """Members of the model's lists of layers, which FSDP gathers one after the other."""

    @property
    def weight_bytes(self) -> int:
        """Of all parameters, and so of their gradients."""
        return sum(math.prod(shape) * dtype.itemsize for shape, dtype in self.weights.values())

    def peak(self) -> dict[Kind, int]:
        """Bytes by kind at the moment when most are taken."""
        live: dict[Kind, int] = dict.fromkeys(KINDS, 0)
        best, most = dict(live), 0
        for block, size in self.events:
            live[self.kinds[abs(block)]] += size if block > 0 else -size
            if (total := sum(live.values())) > most:
                best, most = dict(live), total
        return best


def trace_step(model_config: TransformerConfig, train: TrainConfig) -> Trace:
    """Follow two optimizer steps of ``model_config`` on a CPU in fp32, on one process.

    Raises:
        ConfigError: a model of this kind does not train on token ids and labels alone.
    """
    mode = _Recorder(model_config.vocab_size)
    model = _without_numbers(model_config, mode)
    model.gradient_checkpointing = train.gradient_checkpointing
    strategy = Strategy(train, Precision(torch.device("cpu"), "fp32", None))
    strategy.prepare(model)  # pyright: ignore[reportArgumentType]
    passes = min(train.gradient_accumulation_steps, 2)
    model.train()
    before, passed = Costs(), Costs()
    with mode:
        for _ in range(_STEPS):
            before = Costs().plus(mode.costs)
            _accumulate(strategy, _batch(model_config, train, passes), model_config)
            mode.name_gradients(model)
            passed, mode.kind = Costs().plus(mode.costs), "temporary"
            strategy.clip(strategy.optimizer)
            strategy.optimizer.step()
            mode.name_state(strategy.optimizer.tensors())
            strategy.optimizer.zero_grad(set_to_none=True)
            mode.kind = "activations"
    passes_cost = passed.plus(before, -1)
    rest = train.gradient_accumulation_steps / passes - 1
    trace = mode.trace
    trace.costs = mode.costs.plus(before, -1).plus(passes_cost, rest)
    trace.update = mode.costs.plus(passed, -1)
    trace.state = {name: (tuple(t.shape), t.dtype) for name, t in strategy.optimizer.tensors().items()}
    trace.weights = {name: (tuple(p.shape), p.dtype) for name, p in model.named_parameters()}
    trace.blocks = sum(len(part) for part in model.modules() if isinstance(part, nn.ModuleList))
    return trace


class _Recorder(TorchDispatchMode):
    """Runs operations on shapes alone and notes memory and costs."""

    def __init__(self, vocab_size: int | None) -> None:
        super().__init__()
        self.fake = FakeTensorMode(allow_non_fake_inputs=True)
        self.trace = Trace()
        self.costs = Costs()
        self.kind: Kind = "activations"
        self.vocab_size = vocab_size
        self.blocks: dict[int, tuple[int, Any]] = {}  # a storage's address -> its block, a weak reference

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        read = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        if func is torch.ops.prim.device.default:
            return torch.device("cpu")
        if func is _aten._local_scalar_dense.default and isinstance(args[0], FakeTensor):
            return 1.0
        if read and not any(isinstance(tensor, FakeTensor) for tensor in read):
            return func(*args, **kwargs)
        if func is _aten.index.Tensor:
            args = (args[0], _whole_numbers(args[1]))
        with self.fake:
            made = func(*args, **kwargs)
        written = [leaf for leaf in tree_leaves(made) if isinstance(leaf, Tensor)]
        if not read and written and not written[0].is_floating_point():
            return func(*args, **kwargs)
        new_bytes = sum(self.note(tensor) for tensor in written if isinstance(tensor, FakeTensor))
        self.costs.add(costs_of(func, read, written, new_bytes))
        return made

    def note(self, tensor: Tensor, kind: Kind | None = None) -> int:
        """Bytes of the storage of ``tensor`` when it is new."""
        storage = tensor.untyped_storage()
        address = storage._cdata
        if address in self.blocks and self.blocks[address][1]() is not None:
            return 0
        size, block = storage.nbytes(), len(self.trace.kinds) + 1

        def given_back(_: object) -> None:
            self.trace.events.append((-block, size))
            if self.blocks.get(address, (0,))[0] == block:
                del self.blocks[address]

        is_logits = tensor.dim() == 2 and tensor.shape[-1] == self.vocab_size
        self.trace.kinds[block] = kind or ("logits" if is_logits else self.kind)
        self.trace.events.append((block, size))
        self.blocks[address] = (block, weakref.ref(storage, given_back))
        return size

    def name(self, tensor: Tensor, kind: Kind) -> None:
        """Say what the storage of ``tensor`` is for."""
        found = self.blocks.get(tensor.untyped_storage()._cdata)
        if found:
            self.trace.kinds[found[0]] = kind

    def name_gradients(self, model: nn.Module) -> None:
        """Gradients of ``model`` are there."""
        for parameter in model.parameters():
            if parameter.grad is not None:
                self.name(parameter.grad, "gradients")

    def name_state(self, state: Mapping[str, Tensor]) -> None:
        """The optimizer has its state."""
        for tensor in state.values():
            self.name(tensor, "optimizer")


def _without_numbers(model_config: TransformerConfig, mode: _Recorder) -> LanguageModel:
    """The model with fake tensors for weights and buffers, noted as parameters."""
    with torch.device("meta"):
        model = model_config.layout()

    def fake(tensor: Tensor) -> Tensor:
        with mode.fake:
            made = torch.empty(tensor.shape, dtype=tensor.dtype, device="cpu")
        mode.note(made, "parameters")
        return made

    made: dict[Tensor, nn.Parameter] = {}
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if parameter not in made:
                made[parameter] = nn.Parameter(fake(parameter), parameter.requires_grad)
            setattr(module, name, made[parameter])
        for name, buffer in module.named_buffers(recurse=False):
            setattr(module, name, fake(buffer))
    return model


def _whole_numbers(indices: list[Tensor | None]) -> list[Tensor | None]:
    """``indices`` with each real mask as the places where it is true: their number is a shape."""
    numbers: list[Tensor | None] = []
    for index in indices:
        is_mask = index is not None and index.dtype == torch.bool and not isinstance(index, FakeTensor)
        numbers += index.nonzero(as_tuple=True) if index is not None and is_mask else [index]
    return numbers


def _batch(model_config: TransformerConfig, train: TrainConfig, passes: int) -> Batch:
    """Windows of zeros, as long as training's."""
    extra = 1 if isinstance(model_config, DecoderConfig) else 0
    ids = torch.zeros(train.batch_size, model_config.n_positions + extra, dtype=torch.int64)
    targets = train.batch_size * model_config.n_positions * train.gradient_accumulation_steps
    return Batch([{"input_ids": ids, "labels": ids}] * passes, targets)


def _accumulate(strategy: Strategy, batch: Batch, model_config: TransformerConfig) -> None:
    try:
        accumulate(strategy.trained, batch, strategy)
    except TypeError as error:
        raise ConfigError(
            f'model.type = "{model_config.type}" can\'t be planned: it does not train on input_ids and '
            f"labels alone ({error}). towpath train works as it does; its first steps show memory and time."
        ) from error
