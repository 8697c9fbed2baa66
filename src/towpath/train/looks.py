"""Looks at the model as it is: validation, a sample of text, and evaluations, each on its schedule.

Comes in: a step after which something is due. Goes out: rows of ``log.jsonl``, ``samples.jsonl`` and
``events.jsonl``. They come after the step's save, the random state of training is not touched, and
whatever an evaluation does, training goes on. A signal breaks a look off; what was missed then, or
by a kill, is made up at the next start, from the very same weights.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from towpath.core.errors import TowpathError
from towpath.core.files import disk_full_explained
from towpath.core.metrics import MetricLog, read_log
from towpath.data.sources.limits import TookTooLong, time_limit
from towpath.train.config import TrainConfig
from towpath.train.evaluations import EvaluationConfig, tasks_of
from towpath.train.events import EventLog
from towpath.train.stop import BrokenOffError, StopRequest

if TYPE_CHECKING:
    from towpath.model.language_model import LanguageModel
    from towpath.train.stage import Stage


_NO_SAMPLE = "sample failed"
SHOWN_DEPTH = 2
"""Figures of a validation with more parts in their name (of a layer, of an expert) are only logged."""


def looks_due(step: int, config: TrainConfig) -> bool:
    """Whether anything looks at the model after ``step``."""
    last = config.max_steps
    return _validates(step, config) or any(one.due(step, last) for one in config.evaluations)


def _validates(step: int, config: TrainConfig) -> bool:
    return step % config.eval_steps == 0 or step == config.max_steps


class Looks:
    """Everything that looks at the model of ``stage``. ``say`` prints a line."""

    def __init__(
        self, stage: Stage, log: MetricLog, events: EventLog, say: Callable[[str], None], stop: StopRequest
    ) -> None:
        self.stage = stage
        self.config = stage.config
        self.log = log
        self.events = events
        self.say = say
        self.stop = stop
        self.samples = samples_of(stage.folder)
        self.tasks = tasks_of(stage.config.evaluations, stage.tasks)

    @property
    def any(self) -> bool:
        """Whether there is anything that looks."""
        return bool(self.stage.validate or self.stage.sample or self.tasks)

    def look(self, model: LanguageModel, step: int) -> None:
        """All that is due after ``step`` and was not made yet."""
        model.eval()
        with suppress(BrokenOffError), _random_states_kept(), torch.no_grad():
            self._all_due(model, step)
        model.train()
        for parameter in model.parameters():
            parameter.grad = None

    def missed(self, step: int) -> bool:
        """Whether something that was due after ``step`` was not made."""
        done = self._done(step)
        return any(name not in done for name in self._due(step))

    def _due(self, step: int) -> list[str]:
        stage, config = self.stage, self.config
        due = []
        if _validates(step, config):
            due += ["validation"] * bool(stage.validate) + ["sample"] * bool(stage.sample)
        return due + [
            f"evaluation/{one.label}" for one in config.evaluations if one.due(step, config.max_steps)
        ]

    def _done(self, step: int) -> set[str]:
        """What the files have of ``step``; an evaluation that failed is done."""
        names = (row["name"].split("/") for row in read_log(self.log.path) if row["step"] == step)
        done = {"/".join(parts[:2]) if parts[0] == "evaluation" else parts[0] for parts in names}
        failed = [row for row in self.events.rows() if row["step"] == step and "evaluation" in row]
        done |= {
            "sample" if row["kind"] == _NO_SAMPLE else f"evaluation/{row['evaluation']}" for row in failed
        }
        return done | ({"sample"} if step in sampled_steps(self.samples) else set())

    def _all_due(self, model: LanguageModel, step: int) -> None:
        done = self._done(step)
        due = [name for name in self._due(step) if name not in done]
        if "validation" in due:
            self._validate(model, step)
        if "sample" in due:
            self._sample(model, step)
        for one in self.config.evaluations:
            if f"evaluation/{one.label}" in due:
                self._evaluate(one, model, step)

    def _validate(self, model: LanguageModel, step: int) -> None:
        assert self.stage.validate is not None
        with self.stop.breaking_off():
            figures = self.stage.validate(model)
        self.log.log(step, figures)
        shown = ", ".join(
            f"{name} {value:.3f}" for name, value in figures.items() if name.count("/") <= SHOWN_DEPTH
        )
        self.say(f"{self.stage.name}: step {step}: {shown}")

    def _sample(self, model: LanguageModel, step: int) -> None:
        assert self.stage.sample is not None
        try:
            with self.stop.breaking_off():
                text = self.stage.sample(model)
        except TowpathError as error:
            self._failed("sample", _NO_SAMPLE, step, error)
            return
        with disk_full_explained(self.samples), self.samples.open("a") as file:
            file.write(json.dumps({"step": step, "text": text}) + "\n")
        self.say(f"    {text!r}")

    def _evaluate(self, one: EvaluationConfig, model: LanguageModel, step: int) -> None:
        try:
            with self.stop.breaking_off(), time_limit(one.timeout_seconds):
                found = self.tasks[one.label](model, self.stage.tokenizer)
                figures = {f"evaluation/{one.label}/{name}": float(value) for name, value in found.items()}
        except (Exception, SystemExit) as error:
            kind = "evaluation too slow" if isinstance(error, TookTooLong) else "evaluation failed"
            self._failed(one.label, kind, step, error)
            return
        finally:
            model.eval()
        self.log.log(step, figures)
        shown = ", ".join(f"{name} {value:.3f}" for name, value in figures.items())
        self.say(f"{self.stage.name}: step {step}: {shown}")

    def _failed(self, label: str, kind: str, step: int, error: BaseException) -> None:
        why = f"{type(error).__name__}: {error}"
        self.events.add({"step": step, "kind": kind, "evaluation": label, "error": why[:500]})
        self.say(f"{self.stage.name}: step {step}: {kind}: {label}: {why[:200]}. Training goes on.")


@contextmanager
def _random_states_kept() -> Iterator[None]:
    """Torch's, numpy's and Python's own generators are afterwards as they were."""
    own, numpys = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng():
            yield
    finally:
        random.setstate(own)
        np.random.set_state(numpys)


def samples_of(folder: Path) -> Path:
    """Where a stage keeps what its model wrote."""
    return folder / "samples.jsonl"


def sample_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a ``samples.jsonl``; one cut short by a kill is left out."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines() if line.endswith("}")]


def sampled_steps(path: Path) -> set[int]:
    """The steps that have a sample."""
    return {row["step"] for row in sample_rows(path)}
