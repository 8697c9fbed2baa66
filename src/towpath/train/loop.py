"""The training loop: the specification's, with a mean over all target tokens of a step.

Takes everything that points to other rooms as an argument; a guard judges each step before it is
applied.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

import torch
from torch import Tensor, nn

from towpath.train.batches import Batch
from towpath.train.config import TrainConfig
from towpath.train.guard import Guard
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
    guard: Guard | None = None,
    first_step: int = 0,
    validate: Callable[[int], Mapping[str, float]] | None = None,
    log: Log = lambda step, metrics: None,
    save: Callable[[int], None] = lambda step: None,
    stop: Callable[[], bool] = lambda: False,
) -> None:
    """Train until ``config.max_steps`` optimizer updates are made or ``stop`` says so.

    ``guard`` None makes one of ``config``.

    Raises:
        TrainError: ``guard`` stopped the run.
    """
    model.train()
    guard = guard or Guard(config)
    for step, batch in enumerate(dataloader, start=first_step + 1):
        loss = accumulate(model, batch, precision)
        grad_norm = clip(model, optimizer, config, precision)
        update(optimizer, precision, guard.applies(step, loss, grad_norm, scaled=bool(precision.scaler)))
        scheduler.step()
        optimizer.zero_grad(set_to_none=True)

        last = step == config.max_steps or stop()
        if step % config.log_steps == 0 or last or guard.bad_steps:
            log(step, {"train/loss": loss, "train/grad_norm": grad_norm, **guard.figures()})
        if step % config.save_steps == 0 or last:
            save(step)
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


def update(optimizer: StepsAndForgets, precision: Precision, applies: bool) -> None:
    """One optimizer step where it ``applies``; the loss scale learns of every step."""
    if precision.scaler:
        if applies:
            for part in optimizer.parts.values():
                precision.scaler.step(part)
        precision.scaler.update()
    elif applies:
        optimizer.step()
