"""The training loop: the specification's, with a mean over all target tokens of a step.

Takes everything that points to other rooms as an argument; a guard judges each step before it is
applied. What is different when several processes share a step is the strategy's
(``towpath.train.parallel``); every process runs this same loop.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

import torch
from torch import Tensor, nn

from towpath.train.batches import IGNORED, Batch
from towpath.train.config import TrainConfig
from towpath.train.guard import Guard, Rewind
from towpath.train.layers import layer_norms
from towpath.train.looks import looks_due
from towpath.train.optimizer import Optimizers
from towpath.train.parallel.strategy import Strategy
from towpath.train.smaller_batches import SmallerBatches


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
    dataloader: Iterable[Batch | Mapping[str, Tensor]],
    optimizer: StepsAndForgets | torch.optim.Optimizer,
    scheduler: Steps,
    config: TrainConfig | None = None,
    *,
    strategy: Strategy | None = None,
    guard: Guard | None = None,
    smaller: SmallerBatches | None = None,
    first_step: int = 0,
    look: Callable[[int], None] | None = None,
    log: Log = lambda step, metrics: None,
    save: Callable[[int], None] = lambda step: None,
    stop: Callable[[], bool] = lambda: False,
    observe: Callable[[int, Batch], Mapping[str, float]] = lambda step, batch: {},
) -> None:
    """Train until ``config.max_steps`` optimizer updates are made, the data ends, or ``stop`` says so.

    Four arguments are enough, with torch's own optimizer and scheduler and batches as dictionaries of what
    the model is called with. ``guard`` None makes one of ``config``, and so do ``strategy`` and ``smaller``.
    ``look`` validates after a step that ``looks_due`` names; a stop that is asked for meanwhile comes before
    the next step. ``observe`` gives figures of a batch before it is learned from.

    Raises:
        Rewind: the run is to go on from its last save, without the data of some steps.
        TrainError: ``guard`` stopped the run.
    """
    model.train()
    config = config or TrainConfig()
    strategy = strategy or Strategy.around(model, config)
    if isinstance(optimizer, torch.optim.Optimizer):
        optimizer = Optimizers({"given": optimizer}, {})
    guard = guard or Guard(config)
    smaller = smaller or SmallerBatches(config.auto_micro_batch)
    for step, given in enumerate(dataloader, start=first_step + 1):
        batch = given if isinstance(given, Batch) else whole_batch(model, given)
        figures: dict[str, float] = {}
        if not guard.leaves_out(step):
            figures |= observe(step, batch)
            figures |= learn(model, batch, step, optimizer, strategy, (guard, smaller))
        scheduler.step()
        optimizer.zero_grad(set_to_none=True)

        asked = strategy.any(stop())
        last = asked or step == config.max_steps
        if step % config.log_steps == 0 or last or guard.bad_steps:
            log(step, {**figures, **guard.figures()})
        if saves := step % config.save_steps == 0 or last:
            save(step)
        if look and looks_due(step, config) and not asked:  # after the save: it can never lose one
            look(step)
            model.train()
            if not last and strategy.any(stop()):
                if not saves:
                    save(step)
                return
        if last:
            return


def whole_batch(model: nn.Module, arguments: Mapping[str, Tensor]) -> Batch:
    """The step that learns from one call of ``model``; decoders shift the labels (B, T) by one themselves."""
    labels = arguments["labels"]
    shifts = getattr(getattr(model, "config", None), "family", "decoder") == "decoder"
    return Batch([dict(arguments)], int((labels[:, shifts:] != IGNORED).sum()))


def learn(
    model: nn.Module,
    batch: Batch,
    step: int,
    optimizer: StepsAndForgets,
    strategy: Strategy,
    keepers: tuple[Guard, SmallerBatches],
) -> dict[str, float]:
    """One update from ``batch``, where the guard lets it, cut to what fits. Returns the step's figures."""
    guard, smaller = keepers
    loss = smaller.attempt(lambda cut: accumulate(model, cut, strategy), batch, step, strategy)
    grad_norm = strategy.clip(optimizer)
    figures = {"train/loss": loss, "train/grad_norm": grad_norm}
    every = guard.config.guard.layer_norm_steps
    if every and step % every == 0:
        figures |= layer_norms(strategy.trained, grad_norm, guard.config.max_grad_norm)
    try:
        applies = guard.applies(step, loss, grad_norm, scaled=bool(strategy.precision.scaler))
    except Rewind:
        strategy.update(optimizer, applies=False)  # a loss scaler wants an end to every step
        optimizer.zero_grad(set_to_none=True)
        raise
    strategy.update(optimizer, applies)
    return figures


def accumulate(model: nn.Module, batch: Batch, strategy: Strategy) -> float:
    """Gradients of the step's mean loss over all its targets. Returns that loss, in nats a token."""
    precision = strategy.precision
    total: Tensor = torch.zeros((), device=precision.device)
    for number, micro_batch in enumerate(batch.micro_batches, start=1):
        on_device = {name: value.to(precision.device) for name, value in micro_batch.items()}
        with strategy.micro_batch(last=number == len(batch.micro_batches)):
            with precision.forward():
                loss = model(**on_device, loss_tokens=batch.target_tokens).loss
            strategy.backward(loss)
        total += loss.detach()
    return strategy.total(total).item()
