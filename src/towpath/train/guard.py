"""The guard of a training run: it looks at each step's loss and gradient before they change a weight.

Comes in: a step's mean loss and gradient norm. Goes out: whether the update is made. A step whose loss
or gradient is not finite is never applied; one that stands far above those before it (``spikes``)
is said, skipped or gone back from, as ``[train.guard]`` says. What the guard remembers goes into each
checkpoint, and what it left out lies in ``left_out.json``, so that a resumed run judges as the one that
was never stopped.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from towpath.core.errors import TrainError
from towpath.train.config import TrainConfig
from towpath.train.events import REWIND, Event, LeftOut, finite_or_text
from towpath.train.spikes import Window

NOT_FINITE, LOSS_SPIKE, GRADIENT_SPIKE = "not finite", "loss spike", "gradient spike"


class Rewind(Exception):  # noqa: N818 - no error: the run goes on
    """The run goes back to its last save and leaves ``event["left_out_steps"]`` out."""

    def __init__(self, event: Event) -> None:
        super().__init__(f"step {event['step']}: {event['kind']}")
        self.event = event


class Guard:
    """Judges steps in order. ``describe`` and ``documents`` name the data of a step, counted from 0.

    ``report`` is told of every event; ``left_out`` are the rewinds so far.
    """

    def __init__(
        self,
        config: TrainConfig,
        describe: Callable[[int], str] = str,
        documents: Callable[[int], Sequence[str]] = lambda step: (),
        report: Callable[[Event], None] = lambda event: None,
        left_out: LeftOut | None = None,
    ) -> None:
        self.config = config
        self.describe = describe
        self.documents = documents
        self.report = report
        self.left_out = LeftOut() if left_out is None else left_out
        self.bad_steps = 0
        """Refused steps in a row that were not finite, up to the last one judged."""
        settings = config.guard
        self.losses = Window(settings.window_steps, settings.min_steps)
        self.norms = Window(settings.window_steps, settings.min_steps)

    def leaves_out(self, step: int) -> bool:
        """Whether nothing is learned from ``step`` (from 1), because a rewind left its data out."""
        return step in self.left_out

    def applies(self, step: int, loss: float, grad_norm: float, *, scaled: bool = False) -> bool:
        """Whether the update of ``step`` (from 1) is made, by its mean loss in nats and its gradient's norm.

        ``scaled``: the loss is scaled, and an overflow halves the scale, no more: it is not counted.

        Raises:
            Rewind: the run is to go back; nothing was applied.
            TrainError: more than ``max_bad_steps`` steps in a row were not finite, or more than
                ``guard.max_rewinds`` rewinds were needed.
        """
        if math.isfinite(loss) and math.isfinite(grad_norm):
            self.bad_steps = 0
            return self._is_applied_despite_spike(step, loss, grad_norm)
        if not (scaled and math.isfinite(loss)):
            self._count(step, loss, grad_norm)
            self._act(self.config.guard.on_not_finite, NOT_FINITE, step, _figures(loss, grad_norm))
        return False

    def figures(self) -> Mapping[str, float]:
        """What is logged of it."""
        return {"train/bad_steps": self.bad_steps}

    def state(self) -> dict[str, Any]:
        """All that later judgements depend on, as plain JSON."""
        return {
            "bad_steps": self.bad_steps,
            "losses": list(self.losses.values),
            "norms": list(self.norms.values),
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Take back what ``state`` gave."""
        self.bad_steps = state["bad_steps"]
        for window, name in ((self.losses, "losses"), (self.norms, "norms")):
            window.values.clear()
            window.values.extend(state.get(name, ()))

    def _is_applied_despite_spike(self, step: int, loss: float, grad_norm: float) -> bool:
        settings = self.config.guard
        loss_score, norm_score = self.losses.score(loss), self.norms.score(grad_norm)
        self.losses.add(loss)
        self.norms.add(grad_norm)
        figures = {**_figures(loss, grad_norm), "loss_score": loss_score, "grad_norm_score": norm_score}
        applied = True
        if loss_score > settings.loss_threshold:
            applied = self._act(settings.on_loss_spike, LOSS_SPIKE, step, figures)
        if applied and norm_score > settings.gradient_threshold:
            applied = self._act(settings.on_gradient_spike, GRADIENT_SPIKE, step, figures)
        return applied

    def _act(self, action: str, kind: str, step: int, figures: Mapping[str, float | str]) -> bool:
        """Do what the policy says of ``kind``. Returns whether the step is applied all the same."""
        event = {"step": step, "kind": kind, "action": action, **figures, "data": self.describe(step - 1)}
        if action == REWIND:
            span = self.config.guard.rewind_span_steps
            steps = list(range(max(1, step - span + 1), step + 1))
            documents = list(dict.fromkeys(name for one in steps for name in self.documents(one - 1)))
            self._check_rewinds(event)
            raise Rewind({**event, "left_out_steps": steps, "documents": documents})
        self.report({**event, "documents": list(self.documents(step - 1))})
        return action == "warn"

    def _check_rewinds(self, event: Event) -> None:
        limit = self.config.guard.max_rewinds
        if len(self.left_out.rewinds) >= limit:
            raise TrainError(
                f"Step {event['step']}: {event['kind']} ({event['data']}) after {limit} rewinds, as many as "
                f"train.guard.max_rewinds = {limit} allows. The last checkpoint is good. Likely causes: "
                f"train.learning_rate = {self.config.learning_rate} is too high, or train.guard's thresholds "
                "are too low."
            )

    def _count(self, step: int, loss: float, grad_norm: float) -> None:
        self.bad_steps += 1
        if self.bad_steps > self.config.max_bad_steps:
            raise TrainError(
                f"Step {step}: loss = {loss}, gradient norm = {grad_norm}, for the {self.bad_steps}. step in "
                f"a row ({self.describe(step - 1)}). None was applied; the last checkpoint is good. "
                f"Likely causes: train.learning_rate = {self.config.learning_rate} is too high, or fp16 is "
                "out of its range."
            )


def _figures(loss: float, grad_norm: float) -> dict[str, float | str]:
    return {"loss": finite_or_text(loss), "grad_norm": finite_or_text(grad_norm)}
