"""What a training step and its saves need to know of the processes that share them.

``Strategy`` itself is one process with the whole model; each mode overrides what differs. The loss
of a step is its sum over all target tokens of all processes over their number, so gradients are
added up, never averaged.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from towpath.train.config import TrainConfig
from towpath.train.optimizer import Optimizers, build_optimizer
from towpath.train.parallel.fitting import check_fits, shapes_of_tensors
from towpath.train.precision import Precision, choose_precision
from towpath.train.saves import Saved, TrainingState, newest_good_save, random_state, save_checkpoint

if TYPE_CHECKING:
    from towpath.model.language_model import LanguageModel
    from towpath.train.loop import StepsAndForgets


class Strategy:
    """One process: rank 0 of 1."""

    rank = 0
    """Number of this process."""
    world_size = 1
    """Processes of the job."""
    data_rank = 0
    data_ranks = 1
    """Processes that learn from different micro-batches, and which of them this is."""
    sharers = 1
    """Processes that learn from the same micro-batches, each from other tokens: losses are parts."""

    plain: LanguageModel
    """The model that was given: whole after ``whole``."""
    trained: nn.Module
    """What is called in training."""
    optimizer: Optimizers

    def __init__(self, config: TrainConfig, precision: Precision) -> None:
        self.config = config
        self.precision = precision

    @classmethod
    def around(cls, model: nn.Module, config: TrainConfig) -> Strategy:
        """For a ``model`` whose optimizer is made elsewhere, on the device where it is."""
        strategy = cls(config, choose_precision(config))
        strategy.trained = model
        return strategy

    @property
    def is_first(self) -> bool:
        """Whether this process prints, logs and writes."""
        return self.rank == 0

    def prepare(self, model: LanguageModel) -> None:
        """Set ``plain``, ``trained`` and ``optimizer``."""
        self.plain = self.trained = model
        self.optimizer = build_optimizer(model, self.config)

    def micro_batch(self, *, last: bool) -> AbstractContextManager[Any]:
        """Around a forward and backward pass: gradients are exchanged in the ``last`` of a step."""
        return nullcontext()

    def backward(self, loss: Tensor) -> None:
        """Add the gradients of ``loss``."""
        scaler = self.precision.scaler
        (scaler.scale(loss) if scaler else loss).backward()

    def total(self, value: Tensor) -> Tensor:
        """The sum of ``value`` over all processes that learn from different tokens."""
        return value

    def any(self, here: bool) -> bool:
        """Whether ``here`` is true in some process."""
        return here

    def clip(self, optimizer: StepsAndForgets) -> float:
        """Scale the gradient of the step down to ``max_grad_norm``. Returns its norm before."""
        self.unscale(optimizer)
        return float(nn.utils.clip_grad_norm_(self.trained.parameters(), self.config.max_grad_norm))

    def unscale(self, optimizer: StepsAndForgets) -> None:
        """Take the loss scale out of the gradients."""
        if self.precision.scaler:
            for part in optimizer.parts.values():
                self.precision.scaler.unscale_(part)

    def update(self, optimizer: StepsAndForgets, applies: bool) -> None:
        """One optimizer step where it ``applies``; the loss scale learns of every step."""
        scaler = self.precision.scaler
        if scaler:
            if applies:
                for part in optimizer.parts.values():
                    scaler.step(part)
            scaler.update()
        elif applies:
            optimizer.step()

    def whole(self) -> LanguageModel:
        """``plain`` with the weights as they are now. All processes call it at the same time."""
        return self.plain

    def newest_save(self, folder: Path) -> Saved | None:
        """The newest good save, the same in every process."""
        return newest_good_save(folder)

    def seed(self, seed: int, step: int) -> int:
        """What this process draws dropout from when it starts at ``step`` without a saved random state."""
        return seed

    def random_states(self) -> dict[str, Tensor]:
        """The random state of every process."""
        return random_state()

    def set_random_states(self, states: Mapping[str, Tensor], seed: int) -> None:
        """Take back this process's share of ``random_states``; one that had none draws from ``seed``."""
        from towpath.train.saves import set_random_state

        set_random_state({name: state for name, state in states.items() if "/" not in name})

    def save(self, folder: Path, step: int, facts: Mapping[str, Any]) -> None:
        """Write everything that the rest of the run depends on, and leave the newest saves.

        Raises:
            DiskFullError: no room; every earlier save is untouched. In every process alike.
        """
        parameters: dict[str, Tensor] = dict(self.plain.named_parameters())
        state = TrainingState(step, parameters, self.optimizer.tensors(), self.random_states(), facts)
        save_checkpoint(folder, state, self.config.keep_checkpoints)

    def load(self, saved: Saved) -> None:
        """Take back weights and optimizer state.

        Raises:
            TrainError: they are of another model or optimizer.
        """
        state = saved.state()
        parameters = dict(self.plain.named_parameters())
        check_fits(parameters, shapes_of_tensors(state.model), saved.path)
        with torch.no_grad():
            for name, value in state.model.items():
                parameters[name].copy_(value)
        self.optimizer.load_tensors(state.optimizer)

    def at(self, step: int) -> None:
        """Training is at ``step``."""

    def explained(self, error: BaseException) -> BaseException:
        """What to raise for ``error``: a lost process where that is the reason."""
        return error

    def leave(self, error: BaseException | None) -> None:
        """The stage is over."""
