from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.plan.test_plan import MACHINE, MODEL, TRAIN
from towpath.core.config import change
from towpath.model.config import ModernConfig
from towpath.model.encoder_decoder_config import T5Config
from towpath.plan import trial as trials
from towpath.plan.machine import Machine
from towpath.plan.trace import trace_step
from towpath.plan.trial import LEAST_STEPS, MOST_STEPS, SECONDS, tried, with_layers

DEEP = change(MODEL, {"n_layer": 8})
FOUND = {"seconds": [9.0, 2.0, 3.0, 4.0], "peak_bytes": 500_000_000, "parameters": 1}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the trials' processes were asked; each answers ``FOUND``."""
    found: list[dict[str, Any]] = []

    def answer(threads: int, module: str, question: str) -> dict[str, Any]:
        assert module == "towpath.plan.measure"
        found.append(json.loads(question))
        return FOUND

    monkeypatch.setattr(trials, "answer", answer)
    return found


def slow(model: ModernConfig, step_seconds: float) -> Machine:
    """A machine that is told to need ``step_seconds`` for a step of ``model``."""
    told = MACHINE.seconds(trace_step(model, TRAIN))
    weights = {name: weight * step_seconds / told for name, weight in MACHINE.weights.items()}
    return Machine(**{**vars(MACHINE), "weights": weights})


def test_a_quick_model_is_tried_whole_and_then_told_as_it_was(asked: list[Any], tmp_path: Path) -> None:
    machine = tried(tmp_path, MACHINE, MODEL, TRAIN)
    trace = trace_step(MODEL, TRAIN)
    assert asked[0]["model"]["n_layer"] == 1
    assert asked[0]["steps"] == MOST_STEPS
    assert machine.seconds(trace) == pytest.approx(3.0)
    assert machine.peak_bytes(trace) == pytest.approx(500_000_000, abs=1)


def test_a_slow_model_is_cut_until_its_steps_fit_the_time(asked: list[Any], tmp_path: Path) -> None:
    before = slow(DEEP, 2 * SECONDS / LEAST_STEPS)
    machine = tried(tmp_path, before, DEEP, TRAIN)
    cut = with_layers(DEEP, asked[0]["model"]["n_layer"])
    assert cut.n_layer in (2, 4)
    assert asked[0]["steps"] >= LEAST_STEPS
    assert asked[0]["steps"] * before.seconds(trace_step(cut, TRAIN)) <= SECONDS
    assert machine.seconds(trace_step(cut, TRAIN)) == pytest.approx(3.0)
    whole, part = (before.seconds(trace_step(model, TRAIN)) for model in (DEEP, cut))
    assert machine.seconds(trace_step(DEEP, TRAIN)) == pytest.approx(3.0 * whole / part)


def test_sequences_are_cut_after_layers_and_nothing_is_tried_that_still_is_too_slow(
    asked: list[Any], tmp_path: Path
) -> None:
    one = slow(MODEL, 1.5 * SECONDS / LEAST_STEPS)
    assert tried(tmp_path, one, MODEL, TRAIN).trial is not None
    assert asked[0]["train"]["batch_size"] == TRAIN.batch_size // 2
    endless = slow(MODEL, 1e6)
    assert tried(tmp_path, endless, MODEL, TRAIN) == endless


def test_nothing_is_tried_that_would_take_most_of_the_memory(
    asked: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trials, "free_memory_bytes", lambda: MACHINE.baseline_bytes)
    assert tried(tmp_path, MACHINE, MODEL, TRAIN).trial is None
    assert asked == []


def test_a_trial_is_remembered_until_what_it_computes_changes(asked: list[Any], tmp_path: Path) -> None:
    assert tried(tmp_path, MACHINE, MODEL, TRAIN, run=False) == MACHINE
    first = tried(tmp_path, MACHINE, MODEL, TRAIN)
    later = change(TRAIN, {"max_steps": 50_000, "learning_rate": 1e-3})
    assert tried(tmp_path, MACHINE, MODEL, later, run=False) == first
    assert len(asked) == 1
    tried(tmp_path, MACHINE, MODEL, change(TRAIN, {"gradient_checkpointing": True}))
    tried(tmp_path, MACHINE, change(MODEL, {"n_embd": 64}), TRAIN)
    assert len(asked) == 3


def test_a_trial_is_of_one_process_in_fp32(asked: list[Any], tmp_path: Path) -> None:
    settings = {"precision": "bf16", "parallel": {"type": "ddp"}, "gradient_accumulation_steps": 32}
    tried(tmp_path, MACHINE, MODEL, change(TRAIN, settings))
    train = asked[0]["train"]
    assert (train["precision"], train["parallel"]["type"]) == ("fp32", "single")
    assert train["gradient_accumulation_steps"] == 2


def test_both_stacks_lose_the_same_share_of_their_layers() -> None:
    model = T5Config(n_layer=12, n_decoder_layer=4)
    cut = with_layers(model, 6)
    assert isinstance(cut, T5Config)
    assert (cut.n_layer, cut.decoder_layers) == (6, 2)


@pytest.mark.slow
def test_a_trial_runs_and_is_told_as_it_ran(tmp_path: Path) -> None:
    machine = tried(tmp_path, MACHINE, MODEL, TRAIN)
    assert machine.trial is not None
    trace = trace_step(MODEL, TRAIN)
    assert machine.seconds(trace) == pytest.approx(machine.trial.seconds)
    assert machine.peak_bytes(trace) == pytest.approx(machine.trial.peak_bytes, abs=1)
    assert machine.trial.peak_bytes > 100_000_000
