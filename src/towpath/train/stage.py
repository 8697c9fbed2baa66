"""One training stage of a run: start it, or go on where it was stopped, to the same final weights.

Comes in: a model, batches by step, settings. Goes out: the trained model; on the way ``log.jsonl``,
``samples.jsonl`` and ``checkpoints/`` in the stage's folder. Pre-training and fine-tuning are both
stages.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from towpath.core.errors import TrainError
from towpath.core.files import disk_full_explained, write_durably
from towpath.core.metrics import MetricLog, Sink, read_log
from towpath.core.progress import Progress, progress
from towpath.train.batches import Batch, BatchSource, ahead
from towpath.train.config import TrainConfig
from towpath.train.guard import Guard
from towpath.train.loop import training_loop, validation_due
from towpath.train.meters import MEASURED, SPEED, Meters
from towpath.train.optimizer import Optimizers, build_optimizer
from towpath.train.precision import Precision, choose_precision
from towpath.train.saves import (
    TrainingState,
    newest_good_state,
    random_state,
    save_state,
    set_random_state,
)
from towpath.train.schedule import Scheduler
from towpath.train.stop import StoppedError, StopRequest, stop_request

if TYPE_CHECKING:
    from towpath.model.decoder import Decoder

Validate = Callable[["Decoder"], Mapping[str, float]]
Sample = Callable[["Decoder"], str]


@dataclass
class Stage:
    """What a training stage is made of. ``name`` starts its progress line ("train", "sft")."""

    name: str
    folder: Path
    config: TrainConfig
    seed: int
    batches: BatchSource
    validate: Validate | None = None
    """Figures such as ``validation/loss`` of the model as it is."""
    sample: Sample | None = None
    """Text that the model writes as it is."""
    sinks: tuple[Sink, ...] = field(default=())
    """Trackers beside ``log.jsonl``."""


def run_stage(stage: Stage, model: Decoder) -> dict[str, Any]:
    """Train ``model`` in place to the end of the stage. Returns facts about the training.

    Raises:
        StoppedError: a signal asked to stop; a checkpoint was saved.
        TrainError: too many steps were not finite, or the saved state is of another model.
        DiskFullError: no room for a checkpoint; the last one is good.
    """
    return _Running(stage, model).run()


class _Running:
    def __init__(self, stage: Stage, model: Decoder) -> None:
        self.stage = stage
        self.config = stage.config
        self.precision: Precision = choose_precision(stage.config)
        self.model = model.to(self.precision.device)
        self.model.gradient_checkpointing = stage.config.gradient_checkpointing
        self.optimizer: Optimizers = build_optimizer(self.model, stage.config)
        self.log = MetricLog(stage.folder / "log.jsonl", stage.sinks)
        self.samples = stage.folder / "samples.jsonl"
        self.saves = stage.folder / "checkpoints"
        self.guard = Guard(stage.config, stage.batches.describe)
        self.meters = Meters()
        self.bar: Progress | None = None

    def run(self) -> dict[str, Any]:
        first_step = self._resume()
        scheduler = Scheduler(self.optimizer, self.config, first_step)
        steps = self.config.max_steps - first_step
        model = torch.compile(self.model) if self.config.compile else self.model
        title = self.stage.name
        with (
            stop_request() as stop,
            progress(title, total=self.config.max_steps, unit="steps", done=first_step) as self.bar,
        ):
            self._validate_if_missed(first_step)
            training_loop(
                model,  # pyright: ignore[reportArgumentType]
                self._counted(first_step, steps),
                self.optimizer,
                scheduler,
                self.config,
                precision=self.precision,
                guard=self.guard,
                first_step=first_step,
                validate=self._validate if self.stage.validate or self.stage.sample else None,
                log=lambda step, metrics: self._log(step, metrics, scheduler),
                save=self._save,
                stop=stop,
            )
        self._end_if_asked(stop)
        return {"steps": self.config.max_steps, "final": self._last_figures()}

    def _resume(self) -> int:
        torch.manual_seed(self.stage.seed)
        state = newest_good_state(self.saves)
        step = state.step if state else 0
        if state:
            self._load(state)
            print(
                f"{self.stage.name}: going on at step {step} of {self.config.max_steps} with "
                f"{self.stage.batches.describe(step)}; data order and weights as if never stopped.",
                file=sys.stderr,
            )
        self.log.rewind(step)
        _rewind_samples(self.samples, step)
        return step

    def _load(self, state: TrainingState) -> None:
        parameters = dict(self.model.named_parameters())
        if parameters.keys() != state.model.keys():
            raise TrainError(
                f"{self.saves} holds the state of another model. Remove the folder to train anew."
            )
        with torch.no_grad():
            for name, value in state.model.items():
                parameters[name].copy_(value)
        self.optimizer.load_tensors(state.optimizer)
        set_random_state(state.random)
        self.guard.load(state.facts["guard"])
        if self.precision.scaler:
            self.precision.scaler.load_state_dict(state.facts["scaler"])
        for what, now in self._surroundings().items():
            before = state.facts["surroundings"][what]
            if before != now:
                print(
                    f"{self.stage.name}: this run was started with {what} = {before}, now it is {now}: "
                    "the final weights will differ in the last bits.",
                    file=sys.stderr,
                )

    def _surroundings(self) -> dict[str, Any]:
        """What changes the last bits of the weights without being a setting of the model."""
        return {
            "threads": torch.get_num_threads(),
            "device": self.precision.device.type,
            "precision": self.precision.name,
            "compile": self.config.compile,
            "torch": str(torch.__version__),
        }

    def _save(self, step: int) -> None:
        facts = {
            "guard": self.guard.state(),
            "surroundings": self._surroundings(),
            "scaler": self.precision.scaler.state_dict() if self.precision.scaler else None,
        }
        parameters: dict[str, Tensor] = dict(self.model.named_parameters())
        state = TrainingState(step, parameters, self.optimizer.tensors(), random_state(), facts)
        save_state(self.saves, state, self.config.keep_checkpoints)

    def _counted(self, first_step: int, steps: int) -> Iterator[Batch]:
        for batch in ahead(self.stage.batches, first_step, steps, self.config.dataloader_num_workers):
            self.meters.count(batch.target_tokens)
            assert self.bar is not None
            self.bar.advance()
            yield batch

    def _log(self, step: int, metrics: Mapping[str, float], scheduler: Scheduler) -> None:
        figures = dict(metrics)
        if "train/loss" in figures:
            figures["train/learning_rate"] = max(scheduler.get_last_lr())
            figures |= self.meters.figures()
            assert self.bar is not None
            self.bar.note(f"loss {figures['train/loss']:.3f}, {figures[SPEED]:,.0f} tokens/s")
        self.log.log(step, figures)

    def _validate_if_missed(self, step: int) -> None:
        """A kill between a save and its validation leaves the validation to the next start."""
        if (
            step == 0
            or not (self.stage.validate or self.stage.sample)
            or not validation_due(step, self.config)
        ):
            return
        if not any(
            row["step"] == step and row["name"].startswith("validation/") for row in read_log(self.log.path)
        ):
            self.log.log(step, self._validate(step))

    def _validate(self, step: int) -> dict[str, float]:
        """Figures and a sample of the model as it is; the random state of training is not touched."""
        start = time.monotonic()
        self.model.eval()
        with torch.random.fork_rng(), torch.no_grad():
            figures = dict(self.stage.validate(self.model)) if self.stage.validate else {}
            text = self.stage.sample(self.model) if self.stage.sample else None
        self.model.train()
        shown = ", ".join(f"{name} {value:.3f}" for name, value in figures.items())
        assert self.bar is not None
        self.bar.say(
            f"{self.stage.name}: step {step}: {shown}" + (f"\n    {text!r}" if text is not None else "")
        )
        if text is not None:
            row = json.dumps({"step": step, "text": text})
            with disk_full_explained(self.samples), self.samples.open("a") as file:
                file.write(row + "\n")
        self.meters.leave_out(time.monotonic() - start)
        return figures

    def _end_if_asked(self, stop: StopRequest) -> None:
        if stop.number is not None and not self._is_finished():
            raise StoppedError(
                f"{self.stage.name}: stopped by a signal after saving. Run the same command to go on.",
                stop.number,
            )

    def _is_finished(self) -> bool:
        return (self.saves / f"step-{self.config.max_steps:06d}").exists()

    def _last_figures(self) -> dict[str, float]:
        """The figures of the last step that a repeated run gives again."""
        rows = [row for row in read_log(self.log.path) if row["step"] == self.config.max_steps]
        return {row["name"]: row["value"] for row in rows if row["name"] not in MEASURED}


def _rewind_samples(path: Path, step: int) -> None:
    if not path.exists():
        return
    rows = [line for line in path.read_text().splitlines() if line.endswith("}")]
    kept = [line for line in rows if json.loads(line)["step"] <= step]
    write_durably(path, "".join(line + "\n" for line in kept).encode())
