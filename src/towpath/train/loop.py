"""The training loop: the specification's, with a mean over all target tokens of a step.

Takes everything that points to other rooms as an argument. Adds nothing to a parameter whose loss
or gradient is not finite.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from towpath.core.errors import TrainError
from towpath.train.batches import Batch
from towpath.train.config import TrainConfig
from towpath.train.precision import Precision


class Steps(Protocol):
    """What updates parameters or learning rates once a step."""

    def step(self) -> None:
        """Do it."""


class StepsAndForgets(Steps, Protocol):
    """An optimizer."""

    @property
    def parts(self) -> Mapping[str, torch.optim.Optimizer]:
        """The torch optimizers inside, for loss scaling."""
        ...

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients."""


Log = Callable[[int, Mapping[str, float]], None]


def training_loop(
    model: nn.Module,
    dataloader: Iterable[Batch],
    optimizer: StepsAndForgets,
    scheduler: Steps,
    config: TrainConfig,
    *,
    precision: Precision,
    first_step: int = 0,
    bad_steps: int = 0,
    validate: Callable[[int], Mapping[str, float]] | None = None,
    log: Log = lambda step, metrics: None,
    save: Callable[[int, int], None] = lambda step, bad_steps: None,
    stop: Callable[[], bool] = lambda: False,
    describe: Callable[[int], str] = str,
) -> None:
    """Train until ``config.max_steps`` optimizer updates are made or ``stop`` says so.

    ``save`` is given the number of steps done and of bad steps in a row up to here.

    Raises:
        TrainError: more than ``config.max_bad_steps`` steps in a row were not finite.
    """
    model.train()
    for step, batch in enumerate(dataloader, start=first_step + 1):
        loss = accumulate(model, batch, precision)
        grad_norm = clip(model, optimizer, config, precision)
        if update(optimizer, precision, math.isfinite(loss) and math.isfinite(grad_norm)):
            bad_steps = 0
        elif not (precision.scaler and math.isfinite(loss)):  # an overflow halves the loss scale, no more
            bad_steps = refuse(step, loss, grad_norm, bad_steps, config, describe)
        scheduler.step()
        optimizer.zero_grad(set_to_none=True)

        last = step == config.max_steps or stop()
        if step % config.log_steps == 0 or last or bad_steps:
            log(step, {"train/loss": loss, "train/grad_norm": grad_norm, "train/bad_steps": bad_steps})
        if step % config.save_steps == 0 or last:
            save(step, bad_steps)
        if validate and validation_due(step, config):  # after the save: it can never lose one
            log(step, validate(step))
            model.train()
        if last:
            return


def validation_due(step: int, config: TrainConfig) -> bool:
    """Whether ``step`` is one after which the model is validated."""
    return step % config.eval_steps == 0 or step == config.max_steps


def accumulate(model: nn.Module, batch: Batch, precision: Precision) -> float:
    """Gradients of the step's mean loss over all its targets. Returns that loss, in nats a token."""
    total: Tensor = torch.zeros((), device=precision.device)
    for micro_batch in batch.micro_batches:
        on_device = {name: value.to(precision.device) for name, value in micro_batch.items()}
        with precision.autocast():
            loss = model(**on_device, loss_tokens=batch.target_tokens).loss
        (precision.scaler.scale(loss) if precision.scaler else loss).backward()
        total += loss.detach()
    return total.item()


def clip(model: nn.Module, optimizer: StepsAndForgets, config: TrainConfig, precision: Precision) -> float:
    """Scale the gradient down to ``config.max_grad_norm``. Returns its norm before."""
    if precision.scaler:
        for part in optimizer.parts.values():
            precision.scaler.unscale_(part)
    return float(nn.utils.clip_grad_norm_(model.parameters(), config.max_grad_norm))


def update(optimizer: StepsAndForgets, precision: Precision, finite: bool) -> bool:
    """One optimizer step where everything is ``finite``. Returns whether it was made."""
    if precision.scaler:
        for part in optimizer.parts.values():
            precision.scaler.step(part)  # passes over what overflowed by itself
        precision.scaler.update()
    elif finite:
        optimizer.step()
    return finite


def refuse(
    step: int,
    loss: float,
    grad_norm: float,
    bad_steps: int,
    config: TrainConfig,
    describe: Callable[[int], Any],
) -> int:
    """Count a step that was not applied. Returns how many came in a row.

    Raises:
        TrainError: too many in a row.
    """
    bad_steps += 1
    if bad_steps > config.max_bad_steps:
        raise TrainError(
            f"Step {step}: loss = {loss}, gradient norm = {grad_norm}, for the {bad_steps}. step in a row "
            f"({describe(step - 1)}). None was applied; the last checkpoint is good. Likely causes: "
            f"train.learning_rate = {config.learning_rate} is too high, or fp16 is out of its range."
        )
    return bad_steps
