"""ZeRO stages 1, 2 and 3 by DeepSpeed's engine, in this project's loop.

Rajbhandari et al. 2020, arXiv:1910.02054. Deviations: gradients are added and not averaged (the
loss is multiplied by the processes that DeepSpeed divides by); a step is judged by the guard before
it is made; saves are whole named tensors written by the first process, never DeepSpeed's own
pickles, so any mode goes on from them.
"""

from __future__ import annotations

import copy
import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from towpath.core.errors import TrainError, need
from towpath.train.optimizer import build_optimizer
from towpath.train.parallel.deepspeed import engine_config
from towpath.train.parallel.fitting import check_fits, shapes_of_tensors
from towpath.train.parallel.grouped import Grouped
from towpath.train.saves import Saved

if TYPE_CHECKING:
    from towpath.model.language_model import LanguageModel
    from towpath.train.loop import StepsAndForgets

_MOMENTS = ("exp_avg", "exp_avg_sq")


class Zero(Grouped):
    """Parts of the optimizer state (and gradients, and weights) in every process."""

    def prepare(self, model: LanguageModel) -> None:
        """See ``Strategy.prepare``."""
        deepspeed = _deepspeed(self.precision.device.type)
        self.plain = model
        named = copy.deepcopy(model)
        self.optimizer = build_optimizer(named, self.config)
        if len(self.optimizer.parts) > 1:
            raise TrainError(
                'model.balance.type = "bias" is moved by a rule of its own, but ZeRO takes one optimizer for '
                'all. Set model.balance.type = "loss", or take train.parallel.type = "fsdp" or "ddp".'
            )
        (base,) = self.optimizer.parts.values()
        settings = engine_config(self.config, self.precision.name, self.world_size)
        self.trained, self.zero, _, _ = deepspeed.initialize(
            model=named, optimizer=base, config=settings, dist_init_required=False
        )
        self.names = dict(named.named_parameters())
        self.stage = settings["zero_optimization"]["stage"]

    def micro_batch(self, *, last: bool) -> AbstractContextManager[Any]:
        """See ``Strategy.micro_batch``."""
        self.trained.set_gradient_accumulation_boundary(is_boundary=last)  # pyright: ignore[reportCallIssue]
        return nullcontext()

    def backward(self, loss: Tensor) -> None:
        """See ``Strategy.backward``."""
        self.trained.backward(loss * self.world_size, scale_wrt_gas=False)  # pyright: ignore[reportCallIssue]

    def clip(self, optimizer: StepsAndForgets) -> float:
        """See ``Strategy.clip``: DeepSpeed clips in its step, by this same norm."""
        if self.stage == 3:
            from deepspeed.runtime.utils import combine_grad_norm_groups  # pyright: ignore[reportMissingImports]

            norm = combine_grad_norm_groups(self.zero._get_norm_groups())
        else:
            norm = self.zero.scaled_global_norm()
        norm = float(norm) / float(self.zero.loss_scale)
        return norm if norm >= 0 else float("nan")  # DeepSpeed says -1 of what is not finite

    def update(self, optimizer: StepsAndForgets, applies: bool) -> None:
        """See ``Strategy.update``. DeepSpeed's step refuses by itself what is not finite, and rescales."""
        if not applies and self._is_finite():
            self.zero.zero_grad(set_to_none=True)
            self.zero.averaged_gradients = {}
            return
        self.trained.step()  # pyright: ignore[reportCallIssue]

    def _is_finite(self) -> bool:
        return self.clip(self.optimizer) >= 0

    @torch.no_grad()
    def whole(self) -> LanguageModel:
        """See ``Strategy.whole``: one tensor after the other."""
        target = dict(self.plain.named_parameters())
        for name, value in self._weights():
            target[name].copy_(value)
        return self.plain

    def whole_tensors(self) -> tuple[Mapping[str, Tensor], Mapping[str, Tensor]]:
        """See ``Grouped.whole_tensors``: gathered one after the other, kept by the first process alone."""
        from deepspeed.utils import safe_get_full_optimizer_state  # pyright: ignore[reportMissingImports]

        model = {name: self._kept(value) for name, value in self._weights()}
        optimizer: dict[str, Tensor] = {}
        (base,) = self.optimizer.parts.values()
        steps = [state["step"] for state in base.state.values() if "step" in state]
        if steps:
            self._link_moments()
        for name, parameter in self.names.items():
            for slot in _MOMENTS if steps else ():
                optimizer[f"adamw/{slot}/{name}"] = self._kept(safe_get_full_optimizer_state(parameter, slot))
            if steps:
                optimizer[f"adamw/step/{name}"] = steps[0].clone()
        return model, optimizer

    def load(self, saved: Saved) -> None:
        """See ``Strategy.load``: the engine is made anew around the saved weights, then given the moments."""
        state = saved.state()
        plain = dict(self.plain.named_parameters())
        check_fits(plain, shapes_of_tensors(state.model), saved.path)
        with torch.no_grad():
            for name, value in state.model.items():
                plain[name].copy_(value)
        self.trained.destroy()  # pyright: ignore[reportCallIssue]
        self.prepare(self.plain)
        if state.optimizer:
            self._fill_moments(state.optimizer)

    def _fill_moments(self, tensors: Mapping[str, Tensor]) -> None:
        from deepspeed.utils import safe_set_full_optimizer_state  # pyright: ignore[reportMissingImports]

        (base,) = self.optimizer.parts.values()
        check_adamw(tensors, self.names)
        step = next(value for key, value in tensors.items() if "/step/" in key)
        flats = (
            self.zero.fp32_partitioned_groups_flat
            if self.stage == 3
            else self.zero.single_partition_of_fp32_groups
        )
        for flat in flats:
            moments = {slot: torch.zeros_like(flat) for slot in _MOMENTS}
            base.state[flat] = {"step": step.clone(), **moments}
        self._link_moments()
        for name, parameter in self.names.items():
            for slot in _MOMENTS:
                value = tensors[f"adamw/{slot}/{name}"].to(self.precision.device)
                safe_set_full_optimizer_state(parameter, value, slot)

    def _link_moments(self) -> None:
        """Where each parameter's moments lie in the flat row; DeepSpeed 0.19 does it after the first group's
        first step, when the second group has none yet.
        """
        if self.stage != 3:
            self.zero._hp_optimizer_states_linked = False
            self.zero._lazy_init_hp_params_optimizer_state()

    def _weights(self) -> Iterator[tuple[str, Tensor]]:
        from deepspeed.utils import safe_get_full_fp32_param  # pyright: ignore[reportMissingImports]

        shapes = {name: parameter.shape for name, parameter in self.plain.named_parameters()}
        for name, parameter in self.names.items():
            value = safe_get_full_fp32_param(parameter)
            assert value is not None, "DeepSpeed knows this parameter"
            yield name, value.view(shapes[name])

    def _kept(self, value: Tensor | None) -> Tensor:
        assert value is not None, "DeepSpeed knows this parameter"
        return value.detach().cpu().clone() if self.is_first else torch.empty(0)


def check_adamw(saved: Iterable[str], names: Iterable[str]) -> None:
    """Refuse state of another optimizer.

    Raises:
        TrainError: says which it is of.
    """
    needed = {f"adamw/{slot}/{name}" for name in names for slot in _MOMENTS}
    if needed - set(saved):
        kinds = sorted({key.partition("/")[0] for key in saved})
        raise TrainError(
            f"The save holds state of the optimizers {', '.join(kinds)}, and ZeRO updates by adamw. Take "
            'train.parallel.type = "fsdp" or "ddp", or remove the folder of its checkpoints to train anew.'
        )


def _deepspeed(device_type: str) -> Any:
    if device_type == "cpu":
        os.environ.setdefault("DS_ACCELERATOR", "cpu")
    module = need("deepspeed", install="deepspeed", why='train.parallel = "deepspeed"')
    # An op in C++ for processes of one machine, built at the first use: minutes, and where a build was
    # killed, its lock file stays and every later job waits for it for ever. gloo does without.
    module.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    logging.getLogger("DeepSpeed").setLevel(logging.WARNING)
    return module
