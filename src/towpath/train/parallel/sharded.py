"""Fully sharded data parallelism by torch's FSDP2, ``fully_shard``.

Zhao et al. 2023, arXiv:2304.11277. Each block is gathered when it is needed; the embedding, the last
norm and the head belong to the model itself. Deviation: gradients are added and not averaged. Types
are those of one process (fp32 weights under autocast), so that the results are too. Saves hold each
process's parts; see ``shards``.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import CPUOffloadPolicy, FSDPModule, OffloadPolicy, fully_shard

from towpath.train.optimizer import build_optimizer
from towpath.train.parallel.fitting import check_fits
from towpath.train.parallel.fsdp import FSDPConfig
from towpath.train.parallel.grouped import Grouped
from towpath.train.parallel.norms import clip_
from towpath.train.parallel.shards import in_one_piece, read_shards, shapes_of, shard_like, write_shards
from towpath.train.saves import (
    Saved,
    TrainingState,
    begin_save,
    finish_save,
    no_partial_left,
    partial_folder,
    size_bytes,
)

if TYPE_CHECKING:
    from towpath.model.language_model import LanguageModel
    from towpath.train.loop import StepsAndForgets


class Sharded(Grouped):
    """A part of each tensor in every process. ``plain`` is a second model, which holds whole weights."""

    def prepare(self, model: LanguageModel) -> None:
        """See ``Strategy.prepare``."""
        settings = self.config.parallel
        assert isinstance(settings, FSDPConfig)
        self.plain = model
        self.trained = copy.deepcopy(model)
        mesh = init_device_mesh(self.precision.device.type, (self.world_size,))
        policy = CPUOffloadPolicy() if settings.offload else OffloadPolicy()
        again = settings.reshard_after_forward
        for block in blocks_of(self.trained):
            fully_shard(block, mesh=mesh, reshard_after_forward=again, offload_policy=policy)
        fully_shard(self.trained, mesh=mesh, offload_policy=policy)
        for module in self.trained.modules():
            if isinstance(module, FSDPModule):
                module.set_gradient_divide_factor(1.0)
                module.set_force_sum_reduction_for_comms(True)  # gloo has no other
        self.optimizer = build_optimizer(self.trained, self.config)

    def micro_batch(self, *, last: bool) -> AbstractContextManager[Any]:
        """See ``Strategy.micro_batch``."""
        assert isinstance(self.trained, FSDPModule)
        self.trained.set_requires_gradient_sync(last)
        return nullcontext()

    def clip(self, optimizer: StepsAndForgets) -> float:
        """See ``Strategy.clip``."""
        self.unscale(optimizer)
        return clip_(self.trained.parameters(), self.config.max_grad_norm, self.group)

    @torch.no_grad()
    def whole(self) -> LanguageModel:
        """See ``Strategy.whole``: one tensor after the other."""
        target = dict(self.plain.named_parameters())
        for name, parameter in self.trained.named_parameters():
            target[name].copy_(in_one_piece(parameter))
        return self.plain

    def save(self, folder: Path, step: int, facts: Mapping[str, Any]) -> None:
        """See ``Strategy.save``: every process writes its parts, the first one seals them."""
        tensors = {**dict(self.trained.named_parameters()), **self.optimizer.tensors()}
        state = TrainingState(step, {}, {}, self.random_states(), facts)
        partial = partial_folder(folder, step)
        keep = self.config.keep_checkpoints

        def finish() -> None:
            finish_save(partial, state, keep)

        with no_partial_left(partial, size_bytes(tensors)):
            self.group.first_alone(lambda: begin_save(partial))
            self.group.together(lambda: write_shards(partial, tensors))
            self.group.first_alone(finish)

    def load(self, saved: Saved) -> None:
        """See ``Strategy.load``: every process reads its parts alone, whatever number of them wrote."""
        parameters = dict(self.trained.named_parameters())
        shapes = shapes_of(saved.path)
        check_fits(parameters, {name: shape for name, shape in shapes.items() if "/" not in name}, saved.path)
        tensors: dict[str, Tensor] = {name: value.detach() for name, value in parameters.items()}
        for name, shape in shapes.items():
            if "/" in name:
                tensors[name] = shard_like(parameters[name.rpartition("/")[2]], shape)
        read_shards(saved.path, tensors)
        self.optimizer.load_tensors({name: value for name, value in tensors.items() if "/" in name})


def blocks_of(model: nn.Module) -> list[nn.Module]:
    """The members of every list of layers in ``model``."""
    return [block for part in model.modules() if isinstance(part, nn.ModuleList) for block in part]
