from __future__ import annotations

import argparse
import json
import os
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from towpath.core.config import change
from towpath.core.errors import ConfigError
from towpath.data.config import DataConfig
from towpath.data.sources.files import FilesSource
from towpath.model.config import GPT2Config, ModernConfig
from towpath.model.language_model import build
from towpath.model.size import count_parameters
from towpath.plan import machine as machines
from towpath.plan import plan as plans
from towpath.plan.disk import disk_of, safetensors_bytes
from towpath.plan.loss import Law, Run, bootstrap, fit
from towpath.plan.machine import Machine, calibration
from towpath.plan.measure import _batch
from towpath.plan.memory import resident_peak
from towpath.plan.operations import Costs
from towpath.plan.plan import make_plan
from towpath.plan.prices import Device, devices, quotes
from towpath.plan.remedies import remedies
from towpath.plan.timing import fit_seconds, seconds_of
from towpath.plan.trace import Trace, trace_step
from towpath.plan.words import page, short
from towpath.recipes.run_config import RunConfig
from towpath.tokenizer.config import TokenizerConfig
from towpath.train.config import TrainConfig
from towpath.train.loop import accumulate
from towpath.train.parallel.strategy import Strategy
from towpath.train.precision import choose_precision

MODEL = ModernConfig(vocab_size=256, n_positions=32, n_embd=32, n_layer=1, n_head=2)
TRAIN = TrainConfig(batch_size=4, gradient_accumulation_steps=1, threads=1, device="cpu")
MUON = change(TRAIN, {"optimizer": {"type": "muon"}})
MACHINE = Machine(
    "a processor", 1, "2", 1e11, 1e10, 300_000_000, 0.2, {"narrow_product_flops": 1e-11}, 0, 0, 1.0
)


@pytest.fixture
def config() -> RunConfig:
    return RunConfig(
        name="small",
        data=DataConfig(sources=(FilesSource(name="text", path="text"),)),
        tokenizer=TokenizerConfig(vocab_size=320),
        model=change(MODEL, {"vocab_size": 320}),
        train=change(TRAIN, {"max_steps": 100, "warmup_steps": 10}),
    )


@cache
def traced(muon: bool) -> Trace:
    return trace_step(MODEL, MUON if muon else TRAIN)


def trained(model_config: object, train: TrainConfig) -> Strategy:
    strategy = Strategy(train, choose_precision(train))
    strategy.prepare(build(model_config, 0))  # pyright: ignore[reportArgumentType, reportCallIssue]
    accumulate(strategy.trained, _batch(model_config, train, 0), strategy)
    strategy.optimizer.step()
    return strategy


def test_parameters_and_optimizer_state_are_counted_to_the_byte() -> None:
    peak = traced(True).peak()
    model, state = build(MODEL), trained(MODEL, MUON).optimizer.tensors()
    buffers = sum(buffer.nbytes for buffer in model.buffers())
    assert peak["parameters"] == 4 * count_parameters(MODEL) + buffers
    assert peak["optimizer"] == sum(value.nbytes for value in state.values())


@pytest.mark.parametrize("muon", [False, True])
def test_a_save_has_the_bytes_that_were_told(tmp_path: Path, muon: bool) -> None:
    trace = traced(muon)
    strategy, told = trained(MODEL, MUON if muon else TRAIN), disk_of(trace, 2)
    strategy.save(tmp_path, 1000, {"guard": {"bad_steps": 0}, "scaler": None})
    saved = {path.name: path.stat().st_size for path in (tmp_path / "step-001000").iterdir()}
    texts = saved.pop("state.json") + saved["manifest.json"]
    assert abs(told.checkpoint - sum(saved.values()) - 254) < texts
    assert safetensors_bytes(trace.weights) == saved["model.safetensors"]
    assert safetensors_bytes(trace.state) == saved["optimizer.safetensors"]


def test_recomputed_activations_take_less_memory_and_more_operations() -> None:
    deep = change(MODEL, {"n_layer": 3})
    kept, some, again = (
        trace_step(deep, change(TRAIN, {"gradient_checkpointing": on})) for on in (False, "selective", True)
    )
    assert again.peak()["activations"] < 0.6 * kept.peak()["activations"]
    assert again.peak()["activations"] < some.peak()["activations"] < 0.9 * kept.peak()["activations"]
    assert again.costs.flops > 1.15 * kept.costs.flops
    assert some.costs.flops < 1.01 * kept.costs.flops


def test_operations_are_those_that_torch_counts() -> None:
    from torch.utils.flop_counter import FlopCounterMode

    model_config = GPT2Config(vocab_size=256, n_positions=32, n_embd=32, n_layer=1, n_head=2, dropout=0.1)
    strategy = Strategy(TRAIN, choose_precision(TRAIN))
    strategy.prepare(build(model_config).train())  # pyright: ignore[reportArgumentType]
    with FlopCounterMode(display=False) as counter:
        accumulate(strategy.trained, _batch(model_config, TRAIN, 0), strategy)
    told = trace_step(model_config, TRAIN).costs
    counted = counter.get_total_flops()
    head = 2 * 4 * 32 * 32 * 256  # addmm_ of the loss, which torch's counter leaves out
    assert told.attention_flops == 0  # dropout: attention is plain products
    assert told.flops == pytest.approx(counted + head, rel=1e-6)


def test_more_micro_batches_cost_more_time_and_no_memory() -> None:
    two, eight = (trace_step(MODEL, change(TRAIN, {"gradient_accumulation_steps": n})) for n in (2, 8))
    assert two.peak() == eight.peak()
    assert eight.costs.flops > 3 * two.costs.flops


def test_every_block_is_given_back_but_weights_and_state() -> None:
    trace = traced(True)
    live = {abs(block) for block, _ in trace.events} - {-block for block, _ in trace.events if block < 0}
    assert {trace.kinds[block] for block in live} <= {"parameters", "optimizer"}


def test_a_heap_holds_at_least_what_is_live_and_uses_holes_again() -> None:
    megabyte = 1 << 20
    events = []
    for block in range(1, 50):
        events += [(block, megabyte), (-block, megabyte)]
    assert megabyte <= resident_peak(events, 0.0) < 2 * megabyte
    assert resident_peak([*events[:2], (100, 100 * megabyte)], 0.0) >= 100 * megabyte


def test_pinned_ends_make_holes_too_small_for_the_same_block() -> None:
    events = [(block, 1 << 20) for block in range(1, 20)]
    events += [(-block, 1 << 20) for block in range(1, 19)]
    events += [(block, 1 << 20) for block in range(21, 40)]
    assert resident_peak(events, 0.9) > resident_peak(events, 0.0)


def test_seconds_are_fitted_with_weights_that_are_not_negative() -> None:
    draw = np.random.default_rng(0)
    costs = [Costs(product_flops=a, bytes=b, operations=c) for a, b, c in draw.uniform(1, 9, (8, 3))]
    seconds = [2 * one.product_flops + 0.5 * one.bytes + one.operations for one in costs]
    weights = fit_seconds(costs, seconds)
    assert [seconds_of(one, weights) for one in costs] == pytest.approx(seconds)
    assert min(weights.values()) >= 0


def test_a_law_is_found_again_within_its_interval() -> None:
    true = Law(0.8, 300.0, 0.5, 400.0, 0.45)
    draw = np.random.default_rng(1)
    runs = [
        Run(n, d, true.loss(n, d) * (1 + 0.002 * draw.normal()))
        for n in (150_000, 300_000, 600_000, 1_000_000)
        for d in (100_000, 200_000, 400_000)
    ]
    assert fit(runs).loss(450_000, 300_000) == pytest.approx(true.loss(450_000, 300_000), rel=0.005)
    told = [law.loss(450_000, 300_000) for law in bootstrap(runs)]
    assert min(told) < true.loss(450_000, 300_000) < max(told)


def test_own_prices_replace_those_of_the_same_name(tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    own.write_text('[[device]]\nname = "RTX 4090"\npeak_flops = 1e14\nprice_per_hour = 0.5\n')
    found = {device.name: device for device in devices(own)}
    assert found["RTX 4090"].price_per_hour == 0.5
    assert {"A100 80GB SXM", "H100 80GB SXM"} < found.keys()
    assert all(device.source and device.price_source and device.price_date for device in devices())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[[device]]\nname = "X"\nprice_per_hour = "cheap"\n', r"device 1 \(X\): price_per_hour = 'cheap'"),
        ("[[devic]]\n", "there is no table 'devic'"),
        ("[[device]]\npeak_flops = 1\n", r"device 1 \(without a name\): 'name' is missing"),
    ],
)
def test_what_is_wrong_in_a_price_list_is_named(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "bad.toml").write_text(text)
    with pytest.raises(ConfigError, match=said) as caught:
        devices(tmp_path / "bad.toml")
    assert "http" not in str(caught.value)


def test_an_absent_price_list_is_said_to_be_absent(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        devices(tmp_path / "absent.toml")
    said = f"--prices {tmp_path / 'absent.toml'}: No such file or directory. Give a price list"
    assert str(caught.value).startswith(said)


def test_a_price_list_without_devices_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text("[prices]\nhour = 1\n")
    with pytest.raises(ConfigError, match="is no price list"):
        devices(tmp_path / "bad.toml")


def test_a_quote_is_operations_over_a_share_of_the_peak() -> None:
    (quote,) = quotes(
        1e15, 10, [Device(name="d", peak_flops=1e13, price_per_hour=3.6, memory_bytes=9, power_watts=360)]
    )
    assert quote.seconds == pytest.approx((100 / 0.462, 100 / 0.213))
    assert quote.cost == pytest.approx((0.1 / 0.462, 0.1 / 0.213))
    assert quote.kilowatt_hours == pytest.approx((0.01 / 0.462, 0.01 / 0.213))
    assert quote.fits is False


def test_a_plan_says_what_fits(config: RunConfig, tmp_path: Path) -> None:
    plan = make_plan(config, tmp_path, MACHINE, devices())
    assert plan.tokens == 100 * 4 * 32
    assert plan.peak_bytes > MACHINE.baseline_bytes
    assert plan.lacks == ()
    text = page(plan, MACHINE, [])
    assert "It fits." in text
    assert "H100" in text
    assert f"{plan.parameters:,}" in short(plan)
    json.dumps(plan.facts())


@pytest.mark.slow
def test_a_plan_that_does_not_fit_names_changes_that_do(
    config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    big = change(config, {"train.batch_size": 16, "model.n_layer": 4})
    needed = make_plan(big, tmp_path, MACHINE).peak_bytes
    free = int(MACHINE.baseline_bytes + 0.6 * (needed - MACHINE.baseline_bytes))
    monkeypatch.setattr(plans, "free_memory_bytes", lambda: free)
    plan = make_plan(big, tmp_path, MACHINE)
    assert plan.lacks == ("memory",)
    found = remedies(big, plan, tmp_path, MACHINE)
    assert len(found) == 3
    assert all(one.peak_bytes <= free for one in found)
    assert found[0].same_result
    text = page(plan, MACHINE, found)
    assert "What would make it fit" in text
    assert "train.batch_size=" in text


def test_a_full_disk_is_warned_of_with_both_numbers(config: RunConfig, tmp_path: Path) -> None:
    plan = replace(make_plan(config, tmp_path), free_disk_bytes=1000)
    assert plan.lacks == ("disk",)
    assert "of disk, 1 kB are free" in page(plan, None, [])


def test_a_measured_machine_is_remembered_until_it_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = []

    def measure(threads: int) -> Machine:
        measured.append(threads)
        return replace(MACHINE, threads=threads)

    monkeypatch.setattr(machines, "_measured", measure)
    assert calibration(tmp_path, 1) == calibration(tmp_path, 1) == MACHINE
    calibration(tmp_path, 2)
    monkeypatch.setattr(torch, "__version__", "another")
    calibration(tmp_path, 1)
    assert measured == [1, 2, 1]


@pytest.mark.parametrize(("others", "said"), [(3.9, "3.9 other programs want its 2 cores"), (0.2, None)])
def test_a_busy_machine_is_said_to_be_measured_slow(
    others: float, said: str | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from towpath.cli import plan as verb

    monkeypatch.setattr(os, "getloadavg", lambda: (others, 0.0, 0.0))
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    verb._say_that_measuring_takes_time()
    shown = capsys.readouterr().err
    assert "about a minute" in shown
    assert said in shown if said else "other programs" not in shown


def test_the_verb_prints_a_plan_without_measuring(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from towpath.cli import plan as verb

    monkeypatch.setenv("TOWPATH_HOME", str(tmp_path))
    sizes = ["model.n_embd=32", "model.n_layer=1", "model.n_head=2", "model.n_kv_head=2"]
    options = argparse.Namespace(
        run_file="tiny",
        overrides=sizes,
        prices=None,
        measure=False,
        no_measure=True,
        json=True,
        verb="plan",
        devices=None,
        on=None,
        tokens_per_second=None,
    )
    assert verb.run(options) == 0
    assert json.loads(capsys.readouterr().out)["steps"] == 320
    monkeypatch.setattr(plans, "free_memory_bytes", lambda: 1)
    monkeypatch.setattr("towpath.plan.remedies.remedies", lambda *_: [])
    assert verb.run(options) == 1
    assert "it does not fit; following changes that would" in capsys.readouterr().err


def test_the_report_holds_the_plan_against_the_fact(config: RunConfig, tmp_path: Path) -> None:
    from types import SimpleNamespace

    from towpath.core.metrics import MetricLog
    from towpath.core.runs import Run as RunFolder
    from towpath.recipes.report import PLAN, plan_against_fact

    run = RunFolder(tmp_path, "small")
    checkpoint = SimpleNamespace(id="0123456789abcdef", counts={"parameters": 1000})
    folder = run.stage("train", checkpoint.id)
    MetricLog(folder / "log.jsonl").log(1, {"train/tokens_per_second": 50.0, "train/memory": 4e8})
    (folder / "checkpoints" / "step-000001").mkdir(parents=True)
    (folder / "checkpoints" / "step-000001" / "model.safetensors").write_bytes(bytes(200))
    facts = make_plan(config, tmp_path, MACHINE).facts()
    (run.path / PLAN).write_text(json.dumps(facts, default=str))
    text = plan_against_fact(SimpleNamespace(made={"train": checkpoint}, run=run))  # pyright: ignore[reportArgumentType]
    rows = {line[:20].strip(): line[20:].split() for line in text.splitlines()}
    assert rows["parameters"] == [f"{facts['parameters']:,}", "1,000", f"{facts['parameters'] / 1000:.3f}"]
    assert rows["a save, bytes"][1] == "200"
    assert float(rows["peak memory, bytes"][2]) == pytest.approx(facts["peak_bytes"] / 4e8, abs=1e-3)
    (run.path / PLAN).write_text(json.dumps(make_plan(config, tmp_path).facts(), default=str))
    text = plan_against_fact(SimpleNamespace(made={"train": checkpoint}, run=run))  # pyright: ignore[reportArgumentType]
    rows = {line[:20].strip(): line[20:].split() for line in text.splitlines()}
    assert rows["peak memory, bytes"] == ["-", "400,000,000"]  # tensors alone are not the peak


def test_held_out_runs_of_the_ladder_are_told_within_three_percent() -> None:
    from towpath.plan import loss

    rows = json.loads(Path(loss.__file__).with_name("scaling_law.json").read_bytes())["runs"]
    held_out = [loss.as_run(row) for row in rows if row["held_out"]]
    law = fit([loss.as_run(row) for row in rows if not row["held_out"]])
    assert len(held_out) >= 2
    for run in held_out:
        assert law.loss(run.weights, run.tokens) == pytest.approx(run.loss, rel=0.03)
