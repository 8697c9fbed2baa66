"""One training stage of a run: start it, or go on where it was stopped, to the same final weights.

Comes in: a model, batches by step, settings. Goes out: the trained model; on the way ``log.jsonl``,
``events.jsonl``, ``samples.jsonl`` and ``checkpoints/`` in the stage's folder. Pre-training and
fine-tuning are both stages.
"""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from towpath.core.errors import DiskFullError
from towpath.core.files import readable_json, write_durably
from towpath.core.metrics import MetricLog, Sink, read_log
from towpath.core.progress import Progress, Silence, progress
from towpath.train.batches import Batch, BatchSource, ahead
from towpath.train.ceiling import matmul_ceiling
from towpath.train.config import TrainConfig
from towpath.train.energy import energy_counters
from towpath.train.evaluations import Task
from towpath.train.events import Event, EventLog, LeftOut
from towpath.train.figures import BatchFlops, HasSources, bytes_per_target, log_metrics, source_losses
from towpath.train.guard import Guard, Rewind
from towpath.train.looks import Looks, sample_rows, samples_of
from towpath.train.loop import training_loop
from towpath.train.memory import explained, is_out_of_memory
from towpath.train.meters import MEASURED, SPEED, Bill, Meters
from towpath.train.page import write_training_page
from towpath.train.parallel.share import share_of
from towpath.train.precision import Precision, choose_precision
from towpath.train.saves import Saved, save_folder
from towpath.train.schedule import Scheduler
from towpath.train.smaller_batches import SmallerBatches, sequences_of
from towpath.train.stop import StoppedError, StopRequest, stop_request
from towpath.train.trackers.followers import Followers

if TYPE_CHECKING:
    from towpath.model.language_model import LanguageModel

Validate = Callable[["LanguageModel"], Mapping[str, float]]
Sample = Callable[["LanguageModel"], str]


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
    text_bytes: NDArray[np.integer] | None = None
    """Bytes of text that each token id stands for; with it the log has bits a byte."""
    tokenizer: Any = None
    """What tasks of ``train.evaluations`` are given beside the model."""
    tasks: Mapping[str, Task] = field(default_factory=dict)
    """Tasks that ``train.evaluations`` may name."""


def run_stage(stage: Stage, model: LanguageModel) -> dict[str, Any]:
    """Train ``model`` in place to the end of the stage. Returns facts about the training.

    Every process of the job calls it with an equal model; the first one prints, logs and writes.

    Raises:
        LostRankError: another process of the job died or went silent.
        OutOfMemoryError: a step does not fit; with where the memory went and what to do.
        StoppedError: a signal asked to stop; a checkpoint was saved.
        TrainError: too many steps were not finite, or the saved state is of another model.
        DiskFullError: no room for a checkpoint; the last one is good.
    """
    return _Running(stage, model).run()


class _Running:
    def __init__(self, stage: Stage, model: LanguageModel) -> None:
        self.stage = stage
        self.config = stage.config
        self.precision: Precision = choose_precision(stage.config)
        self.strategy = stage.config.parallel.strategy(stage.config, self.precision)
        model.gradient_checkpointing = stage.config.gradient_checkpointing
        self.precision.prepare_(model)
        self.strategy.prepare(model.to(self.precision.device))
        self.batches = share_of(stage.batches, self.strategy)
        self.log = MetricLog(stage.folder / "log.jsonl", stage.sinks)
        self.samples = samples_of(stage.folder)
        self.saves = stage.folder / "checkpoints"
        self.events = EventLog(stage.folder / "events.jsonl")
        self.left_out = LeftOut(stage.folder / "left_out.json")
        documents = getattr(stage.batches, "documents", lambda step: ())
        self.guard = Guard(stage.config, stage.batches.describe, documents, self._event, self.left_out)
        enabled, cuts = stage.config.auto_micro_batch, stage.folder / "micro_batches.json"
        self.smaller = SmallerBatches(enabled, cuts, self._cut)
        self.batch: Batch | None = None
        self.step = 0
        self.flops = BatchFlops(model)
        ceiling = matmul_ceiling(self.precision.device, self.precision.matmul_type)
        bill = Bill(energy_counters(self.precision.device), stage.config.price_per_hour)
        self.meters = Meters(ceiling * self.strategy.world_size, bill)
        self._write_machine(ceiling, bill)
        self.bar: Progress | None = None

    def run(self) -> dict[str, Any]:
        try:
            facts = self._run()
        except BaseException as error:
            reason = self._explained(error)
            self.strategy.leave(reason)
            raise reason from (None if reason is error else error)
        self.strategy.leave(None)
        return facts

    def _explained(self, error: BaseException) -> BaseException:
        if self.batch is None or not is_out_of_memory(error):
            return self.strategy.explained(error)
        sequences = sequences_of(self.smaller.cut(self.batch, self.step))
        reason = explained(error, self.config, self.strategy, self.step, sequences)
        reason.stage = self.stage.name
        return reason

    def _run(self) -> dict[str, Any]:
        first_step = self._resume()
        model = self.strategy.trained
        run: nn.Module = torch.compile(model) if self.config.compile else model  # pyright: ignore[reportAssignmentType]
        with (
            stop_request() as stop,
            self._progress(self.stage.name, first_step) as self.bar,
            self._trackers(),
        ):
            if self.config.guard.rewinds and first_step == 0 and not save_folder(self.saves, 0).exists():
                self._save(0)  # where a spike before the first checkpoint goes back to
            self.looks = Looks(self.stage, self.log, self.events, self.bar.say, stop)
            if self.strategy.any(first_step > 0 and self.strategy.is_first and self.looks.missed(first_step)):
                self._look(first_step)  # a kill between a save and its validation leaves it to this start
            while (spike := self._train(run, first_step, stop)) is not None:
                first_step = self._go_back(spike)
            self._end_if_asked(stop)
        self.strategy.whole()
        facts = {"steps": self.config.max_steps, "final": self._last_figures()}
        return {**facts, "left_out_steps": sorted(self.left_out.steps)} if self.left_out.steps else facts

    def _train(self, model: nn.Module, first_step: int, stop: StopRequest) -> Event | None:
        """From ``first_step`` to the end, or to a spike that the run is to go back from."""
        scheduler = Scheduler(self.strategy.optimizer, self.config, first_step)
        try:
            training_loop(
                model,
                self._counted(first_step, self.config.max_steps - first_step),
                self.strategy.optimizer,
                scheduler,
                self.config,
                strategy=self.strategy,
                guard=self.guard,
                smaller=self.smaller,
                first_step=first_step,
                look=self._look if self.looks.any else None,
                log=lambda step, metrics: self._log(step, metrics, scheduler),
                save=self._save,
                stop=stop,
                observe=self._observe,
            )
        except Rewind as spike:
            return spike.event
        return None

    def _go_back(self, spike: Event) -> int:
        """To the newest save, without what ``spike`` leaves out. Returns its step.

        What is left out is on the disk first: killed at any instant, the run does the same again.
        """
        self._tell(spike)
        self.left_out.add(spike, write=self.strategy.is_first)
        self.strategy.any(False)  # nobody reads the save or the file before all are here
        step = self._resume()
        assert self.bar is not None
        self.bar.advance(step - spike["step"])
        return step

    def _event(self, event: Event) -> None:
        if self.strategy.is_first:
            self.events.add(event)
            self._tell(event)

    def _cut(self, event: Event) -> None:
        self.events.add(event)
        assert self.bar is not None
        self.bar.say(
            f"{self.stage.name}: step {event['step']}: {event['kind']} with "
            f"{event['batch_size_before']} sequences in a forward pass; made again with "
            f"{event['batch_size']}, as all steps from here on."
        )

    def _tell(self, event: Event) -> None:
        assert self.bar is not None
        named = list(event["documents"])
        more = f" and {len(named) - 3} more" if len(named) > 3 else ""
        of = f", documents {', '.join(named[:3])}{more}" if named else ""
        self.bar.say(
            f"{self.stage.name}: step {event['step']}: {event['kind']} (loss {event['loss']}, gradient norm "
            f"{event['grad_norm']}; {event['data']}{of}): {event['action']}"
        )

    def _progress(self, title: str, done: int) -> AbstractContextManager[Progress]:
        if self.strategy.is_first:
            return progress(title, total=self.config.max_steps, unit="steps", done=done)
        return nullcontext(Silence())

    def _trackers(self) -> AbstractContextManager[Any]:
        if not self.strategy.is_first:
            return nullcontext()
        settings = self.config.model_dump(mode="json", exclude_unset=True)
        return Followers(self.stage.folder, self.config.trackers, settings)

    def _say(self, text: str) -> None:
        if self.strategy.is_first:
            print(f"{self.stage.name}: {text}", file=sys.stderr)

    def _resume(self) -> int:
        torch.manual_seed(self.strategy.seed(self.stage.seed, 0))
        saved = self.strategy.newest_save(self.saves)
        step = saved.step if saved else 0
        if saved:
            self._load(saved)
            self._say(
                f"going on at step {step} of {self.config.max_steps} with "
                f"{self.stage.batches.describe(step)}; data order and weights as if never stopped."
            )
        if self.strategy.is_first:
            self.log.rewind(step)
            self.meters.go_on(read_log(self.log.path))
            self.events.rewind(step, [*self.left_out.rewinds, *self.smaller.state()])
            _rewind_samples(self.samples, step)
        return step

    def _load(self, saved: Saved) -> None:
        self.strategy.load(saved)
        self.strategy.set_random_states(saved.random(), self.strategy.seed(self.stage.seed, saved.step))
        self.guard.load(saved.facts["guard"])
        self.smaller.load(saved.facts.get("smaller_batches", []), write=self.strategy.is_first)
        if self.precision.scaler and saved.facts["scaler"]:
            self.precision.scaler.load_state_dict(saved.facts["scaler"])
        for what, now in self._surroundings().items():
            before = saved.facts["surroundings"].get(what, now)
            if before != now:
                self._say(
                    f"this run was started with {what} = {before}, now it is {now}: "
                    "the final weights will differ in the last bits."
                )

    def _surroundings(self) -> dict[str, Any]:
        """What changes the last bits of the weights without being a setting of the model."""
        return {
            "threads": torch.get_num_threads(),
            "device": self.precision.device.type,
            "precision": self.precision.name,
            "compile": self.config.compile,
            "torch": str(torch.__version__),
            "processes": self.strategy.world_size,
            "parallel": self.config.parallel.type,
        }

    def _save(self, step: int) -> None:
        facts = {
            "guard": self.guard.state(),
            "smaller_batches": self.smaller.state(),
            "surroundings": self._surroundings(),
            "scaler": self.precision.scaler.state_dict() if self.precision.scaler else None,
        }
        self.strategy.save(self.saves, step, facts)

    def _counted(self, first_step: int, steps: int) -> Iterator[Batch]:
        workers = self.config.dataloader_num_workers
        made = ahead(self.batches, first_step, steps, workers)
        for step in range(first_step + 1, first_step + 1 + steps):
            start = time.monotonic()
            self.batch, self.step = next(made), step
            self.meters.waited(time.monotonic() - start)
            self.strategy.at(step)
            self.meters.count(self.batch.target_tokens, self.flops(self.batch) * self.strategy.data_ranks)
            assert self.bar is not None
            self.bar.advance()
            yield self.batch

    def _observe(self, step: int, batch: Batch) -> Mapping[str, float]:
        """Losses by source of ``batch``, before it is learned from."""
        every = self.config.source_loss_steps
        source = self.batches
        if not every or step % every or not isinstance(source, HasSources) or not source.source_names:
            return {}
        return source_losses(
            self.strategy.trained, batch, source.sources(step - 1), source.source_names, self.strategy
        )

    def _write_machine(self, ceiling: float, bill: Bill) -> None:
        """``machine.json``: what the figures of speed and energy are held against, or why there are none."""
        if self.strategy.is_first:
            facts = {
                "matmul_ceiling_flops": ceiling,
                "processes": self.strategy.world_size,
                "energy": bill.energy.reason or "counted",
                "price_per_hour": bill.price_per_hour,
            }
            write_durably(self.stage.folder / "machine.json", readable_json(facts))

    def _log(self, step: int, metrics: Mapping[str, float], scheduler: Scheduler) -> None:
        if not self.strategy.is_first:
            return
        figures = dict(metrics)
        if "train/loss" in figures:
            per_target = self.stage.text_bytes
            assert self.batch is not None
            figures |= log_metrics(
                figures["train/loss"],
                step,
                max(scheduler.get_last_lr()),
                None if per_target is None else bytes_per_target(self.batch, per_target),
            )
            figures |= self.meters.figures()
            assert self.bar is not None
            self.bar.note(f"loss {figures['train/loss']:.3f}, {figures[SPEED]:,.0f} tokens/s")
        self.log.log(step, figures)

    def _look(self, step: int) -> None:
        """Validation, sample and evaluations of the model as it is.

        The first process looks at the whole model, the others go on and wait where it next comes to them.
        """
        model = self.strategy.whole()
        if self.strategy.is_first:
            start = time.monotonic()
            self.looks.look(model, step)
            self._draw()
            self.meters.leave_out(time.monotonic() - start)

    def _draw(self) -> None:
        """The page; one that can't be written costs nothing."""
        with suppress(OSError, DiskFullError):
            write_training_page(self.stage.folder, f"{self.stage.folder.parent.name}: {self.stage.name}")

    def _end_if_asked(self, stop: StopRequest) -> None:
        asked = self.strategy.any(stop.number is not None)
        missed = self.strategy.is_first and self.looks.missed(self.config.max_steps)
        missing = self.strategy.any(missed or not self._is_finished())
        if asked and missing:
            raise StoppedError(
                f"{self.stage.name}: stopped by a signal after saving. Run the same command to go on.",
                stop.number or signal.SIGTERM,
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
    kept = [json.dumps(row) for row in sample_rows(path) if row["step"] <= step]
    write_durably(path, "".join(line + "\n" for line in kept).encode())
