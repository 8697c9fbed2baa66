"""Looks at a model in training: on schedule, after the save, without a trace in training, and made up for."""

from __future__ import annotations

import random
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.train.conftest import assert_same, model, model_config, stage, train_config, weights
from tests.train.test_resume import Killed, kill_at
from towpath.core.errors import ConfigError, ModelError
from towpath.core.metrics import read_log
from towpath.model.language_model import build
from towpath.tokenizer import ByteTokenizer
from towpath.train.evaluations import EvaluationConfig
from towpath.train.events import EventLog
from towpath.train.pretrain import sampler
from towpath.train.stage import Stage, run_stage
from towpath.train.stop import StoppedError


def weight_sum(decoder, tokenizer) -> Mapping[str, float]:
    """Draws from every generator, as a task may."""
    random.random(), np.random.rand(), torch.rand(2)
    assert not decoder.training
    assert not torch.is_grad_enabled()
    return {"sum": float(decoder.head_weight.sum()), "tokenizer": len(tokenizer)}


def failing(decoder, tokenizer) -> Mapping[str, float]:
    raise ValueError("no such benchmark file")


def leaving(decoder, tokenizer) -> Mapping[str, float]:
    raise SystemExit(3)


def slow(decoder, tokenizer) -> Mapping[str, float]:
    while True:
        time.sleep(0.01)


def with_evaluations(folder: Path, *evaluations: dict, **changes: object) -> Stage:
    one = stage(folder, train_config(evaluations=list(evaluations), **changes))
    one.tokenizer = "abc"
    one.tasks = {"weight_sum": weight_sum, "failing": failing, "slow": slow, "leaving": leaving}
    return one


def evaluated(folder: Path) -> list[tuple[int, str, float]]:
    rows = list(read_log(folder / "log.jsonl"))
    return [(row["step"], row["name"], row["value"]) for row in rows if "evaluation/" in row["name"]]


def events(folder: Path) -> list[dict]:
    return list(EventLog(folder / "events.jsonl").rows())


def test_a_task_is_evaluated_on_its_schedule_and_at_the_end(tmp_path: Path) -> None:
    run_stage(with_evaluations(tmp_path, {"task": "weight_sum", "every_steps": 5}), model())
    assert [step for step, name, _ in evaluated(tmp_path) if name == "evaluation/weight_sum/sum"] == [
        5,
        10,
        12,
    ]
    assert {value for _, name, value in evaluated(tmp_path) if name.endswith("/tokenizer")} == {3.0}


def test_training_with_evaluations_is_training_without(tmp_path: Path) -> None:
    plain, looked_at = model(), model()
    run_stage(stage(tmp_path / "a", train_config()), plain)
    states = random.getstate(), np.random.get_state()[1].tolist()
    run_stage(with_evaluations(tmp_path / "b", {"task": "weight_sum", "every_steps": 1}), looked_at)
    assert_same(weights(plain), weights(looked_at))
    assert states == (random.getstate(), np.random.get_state()[1].tolist())


@pytest.mark.parametrize(
    ("task", "kind", "why"),
    [
        ("failing", "evaluation failed", "ValueError: no such benchmark file"),
        ("leaving", "evaluation failed", "SystemExit: 3"),
        ("slow", "evaluation too slow", "0.05 seconds"),
    ],
)
def test_an_evaluation_that_fails_is_an_event_and_loses_no_checkpoint(
    tmp_path: Path, task: str, kind: str, why: str
) -> None:
    plain, decoder = model(), model()
    run_stage(stage(tmp_path / "a", train_config()), plain)
    bad = {"task": task, "name": "bad", "every_steps": 4, "timeout_seconds": 0.05}
    good = {"task": "weight_sum", "every_steps": 4}
    run_stage(with_evaluations(tmp_path / "b", bad, good), decoder)
    assert_same(weights(plain), weights(decoder))
    found = events(tmp_path / "b")
    assert [(event["step"], event["kind"], event["evaluation"]) for event in found] == [
        (step, kind, "bad") for step in (4, 8, 12)
    ]
    assert all(why in event["error"] for event in found)
    assert len(evaluated(tmp_path / "b")) == 6
    saves = {path.name for path in (tmp_path / "b" / "checkpoints").iterdir()}
    assert saves == {"step-000008", "step-000012"}


def test_an_evaluation_missed_by_a_kill_is_made_up_with_the_same_figures(tmp_path: Path) -> None:
    whole = with_evaluations(tmp_path / "whole", {"task": "weight_sum", "every_steps": 4})
    run_stage(whole, model())
    one = with_evaluations(tmp_path / "one", {"task": "weight_sum", "every_steps": 4})

    def deadly(decoder, tokenizer) -> Mapping[str, float]:
        raise Killed

    one.tasks = {"weight_sum": deadly}
    with pytest.raises(Killed):
        run_stage(one, model())
    assert (tmp_path / "one" / "checkpoints" / "step-000004").exists()
    run_stage(with_evaluations(tmp_path / "one", {"task": "weight_sum", "every_steps": 4}), model())
    assert evaluated(tmp_path / "one") == evaluated(tmp_path / "whole")


def test_an_evaluation_that_failed_before_a_kill_is_not_made_again(tmp_path: Path) -> None:
    for deadly_step in (5, 99):
        one = with_evaluations(tmp_path, {"task": "failing", "every_steps": 4})
        kill_at(one, deadly_step)
        if deadly_step == 5:
            with pytest.raises(Killed):
                run_stage(one, model())
        else:
            run_stage(one, model())
    assert [event["step"] for event in events(tmp_path)] == [4, 8, 12]


@pytest.mark.parametrize("step", [5, 6, 12], ids=["no save", "a save", "the end"])
def test_a_signal_breaks_a_validation_off_within_a_second_and_the_next_start_makes_it_up(
    tmp_path: Path, step: int
) -> None:
    changes = {"eval_steps": 5 if step == 5 else 6, "save_steps": 6}

    def quick(decoder) -> Mapping[str, float]:
        return {"validation/loss": float(decoder.head_weight.sum())}

    def endless(decoder) -> Mapping[str, float]:
        if calls.append(0) or len(calls) * changes["eval_steps"] < step:
            return quick(decoder)
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.raise_signal(signal.SIGTERM)
        time.sleep(60)
        raise AssertionError("not broken off")

    calls: list[int] = []
    whole, resumed = model(), model()
    one = stage(tmp_path / "whole", train_config(**changes))
    one.validate = quick
    facts = run_stage(one, whole)
    one = stage(tmp_path / "one", train_config(**changes))
    one.validate = endless
    start = time.monotonic()
    with pytest.raises(StoppedError, match="Run the same command to go on"):
        run_stage(one, model())
    assert time.monotonic() - start < 20
    assert (tmp_path / "one" / "checkpoints" / f"step-{step:06d}").exists()
    one = stage(tmp_path / "one", train_config(**changes))
    one.validate = quick
    assert run_stage(one, resumed) == facts
    assert_same(weights(whole), weights(resumed))


def test_a_sample_is_not_drawn_twice_where_there_is_no_validation(tmp_path: Path) -> None:
    for deadly_step in (5, 99):
        one = stage(tmp_path, train_config(eval_steps=4))
        one.sample = lambda decoder: "text"
        kill_at(one, deadly_step)
        if deadly_step == 5:
            with pytest.raises(Killed):
                run_stage(one, model())
        else:
            run_stage(one, model())
    assert (tmp_path / "samples.jsonl").read_text().count("text") == 2 * 3


def test_a_task_is_found_by_its_path(tmp_path: Path) -> None:
    one = stage(tmp_path, train_config(evaluations=[{"task": f"{__name__}:leaving"}]))
    run_stage(one, model())
    assert [event["evaluation"] for event in events(tmp_path)] == ["leaving"]


def test_a_task_may_lie_in_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tasks_in_the_current_folder.py").write_text("def two(model, tokenizer): return {'two': 2}")
    monkeypatch.chdir(tmp_path)
    before = list(sys.path)
    task = EvaluationConfig(task="tasks_in_the_current_folder:two").find({})
    assert task(model(), None) == {"two": 2}
    assert sys.path == before


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ("weight_sun", "unknown task 'weight_sun'. Did you mean 'weight_sum'"),
        ("no.such:thing", "'no.such:thing' can't be imported: No module named 'no'"),
        ("math:nothing", "'math:nothing' can't be imported: module 'math' has no attribute 'nothing'"),
    ],
)
def test_an_unknown_task_is_refused_before_training(tmp_path: Path, task: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        run_stage(with_evaluations(tmp_path, {"task": task}), model())
    assert message in str(error.value)
    assert not (tmp_path / "checkpoints").exists()


def test_two_evaluations_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="two are called 'weight_sum'"):
        run_stage(with_evaluations(tmp_path, {"task": "weight_sum"}, {"task": "weight_sum"}), model())


def test_a_sample_that_can_not_be_written_does_not_end_training(tmp_path: Path) -> None:
    def too_long(decoder) -> str:
        raise ModelError("The prompt has 81 tokens and the context 16.")

    for kill in (7, None):
        one = stage(tmp_path, train_config())
        one.sample = too_long
        if kill:
            kill_at(one, kill)
            with pytest.raises(Killed):
                run_stage(one, model())
        else:
            run_stage(one, model())
    assert [(row["step"], row["kind"]) for row in events(tmp_path)] == [
        (6, "sample failed"),
        (12, "sample failed"),
    ]
    assert "The prompt has 81 tokens" in (tmp_path / "training.html").read_text()


def test_a_long_prompt_is_gone_on_with() -> None:
    prompt = "Once upon a time " * 4
    decoder = build(model_config("gpt2").model_copy(update={"n_positions": 128, "vocab_size": 384}), seed=1)
    written = sampler(ByteTokenizer(), prompt)(decoder)
    assert written.startswith(prompt)
    assert len(written) > len(prompt)


def test_the_page_shows_curves_events_and_samples_and_loads_nothing(tmp_path: Path) -> None:
    one = with_evaluations(tmp_path, {"task": "failing", "every_steps": 4}, {"task": "weight_sum"})
    one.validate = lambda decoder: {"validation/loss": 2.0, "validation/prose/bits_per_byte": 1.5}
    one.sample = lambda decoder: "<script>alert(1)</script>"
    run_stage(one, model())
    text = (tmp_path / "training.html").read_text()
    for shown in ("Loss", "Learning rate", "Gradient norm", "Bits a byte by source", "evaluation failed"):
        assert shown in text
    assert text.count("<polyline") >= 8
    assert "&lt;script&gt;" in text
    assert "<script" not in text
    assert "http" not in text.replace("http-equiv", "")


def test_a_long_run_s_curve_keeps_its_mean_and_its_end() -> None:
    from towpath.train.page import MOST_POINTS, _thinned

    points = [(float(step), float(step % 7)) for step in range(1, 10001)]
    thin = _thinned(points)
    assert len(thin) <= MOST_POINTS
    assert thin[-1][0] == 10000
    assert sum(value for _, value in thin) / len(thin) == pytest.approx(3.0, abs=0.01)


def test_a_page_that_can_not_be_written_costs_nothing(tmp_path: Path) -> None:
    plain, decoder = model(), model()
    run_stage(stage(tmp_path / "a", train_config()), plain)
    (tmp_path / "b" / "training.html").mkdir(parents=True)
    run_stage(with_evaluations(tmp_path / "b", {"task": "weight_sum"}), decoder)
    assert_same(weights(plain), weights(decoder))
