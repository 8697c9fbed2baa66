"""Meters and figures: each against a plain formula, a file of the system or another way to compute it."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.train.conftest import CONTEXT, VOCABULARY, NumberedSamples, batches, model, stage, train_config
from towpath.core.metrics import MetricLog, read_log
from towpath.model.size import flops_per_token
from towpath.tokenizer.order import Draw
from towpath.train.batches import IGNORED, Batch, TokenBatches
from towpath.train.ceiling import matmul_ceiling
from towpath.train.energy import Energy, energy_counters
from towpath.train.figures import BatchFlops, bytes_per_target, log_metrics
from towpath.train.meters import COST, DATA_WAIT, ENERGY, MEASURED, MFU, SECONDS, SPEED, Bill, Meters
from towpath.train.stage import run_stage


class Clock:
    """time.monotonic by hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(time, "monotonic", lambda: self.now)


def rows_of(folder: Path) -> dict[str, list[tuple[int, float]]]:
    found: dict[str, list[tuple[int, float]]] = {}
    for row in read_log(folder / "log.jsonl"):
        found.setdefault(row["name"], []).append((row["step"], row["value"]))
    return found


def test_speed_utilisation_and_wait_are_shares_of_the_time_since_the_last_figures(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock(monkeypatch)
    meters = Meters(ceiling_flops=2e9)
    meters.count(300, 3e9)
    meters.waited(0.5)
    clock.now += 3.0
    meters.leave_out(1.0)
    figures = meters.figures()
    assert figures[SPEED] == pytest.approx(150)
    assert figures[MFU] == pytest.approx(3e9 / 2.0 / 2e9)
    assert figures[DATA_WAIT] == pytest.approx(0.25)
    assert figures[SECONDS] == pytest.approx(3.0)
    meters.count(10)
    clock.now += 1.0
    again = meters.figures()
    assert (again[SPEED], again[DATA_WAIT], again[SECONDS]) == (10, 0, 4.0)
    assert MFU not in again


def test_cost_and_energy_go_on_where_the_log_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    meters = Meters(bill=Bill(Energy([lambda: 50.0]), price_per_hour=7.2))
    rows = [(COST, 1.0), (ENERGY, 100.0), (SECONDS, 900.0), (COST, 2.0), ("train/loss", 3.0)]
    meters.go_on([{"name": name, "value": value} for name, value in rows])
    clock.now += 500.0
    figures = meters.figures()
    assert figures[COST] == pytest.approx(2.0 + 7.2 * 500 / 3600)
    assert figures[ENERGY] == pytest.approx(150.0)
    assert figures[SECONDS] == pytest.approx(1400.0)


def test_nothing_is_billed_without_a_price_or_a_counter() -> None:
    figures = Meters().figures()
    assert COST not in figures
    assert ENERGY not in figures


def zone(folder: Path, name: str, microjoules: int) -> Path:
    path = folder / name
    path.mkdir()
    (path / "energy_uj").write_text(f"{microjoules}\n")
    (path / "max_energy_range_uj").write_text("999999\n")
    return path


def test_energy_is_what_the_packages_count_and_their_counters_start_again(tmp_path: Path) -> None:
    one, other = zone(tmp_path, "intel-rapl:0", 900_000), zone(tmp_path, "intel-rapl:1", 0)
    zone(tmp_path, "intel-rapl:0:0", 7)  # a part of the first
    energy = energy_counters(torch.device("cpu"), tmp_path)
    assert energy.joules() == 0
    (one / "energy_uj").write_text("100000\n")  # past its range of 1 J
    (other / "energy_uj").write_text("500000\n")
    assert energy.joules() == pytest.approx(0.2 + 0.5)
    (other / "energy_uj").unlink()
    assert energy.joules() is None
    assert "energy_uj" in energy.reason


def test_energy_that_can_not_be_read_says_why(tmp_path: Path) -> None:
    nothing = energy_counters(torch.device("cpu"), tmp_path)
    assert nothing.joules() is None
    assert nothing.reason == f"{tmp_path} has no RAPL counter"
    (zone(tmp_path, "intel-rapl:0", 1) / "energy_uj").unlink()
    assert "the RAPL counter can't be read" in energy_counters(torch.device("cpu"), tmp_path).reason


def test_the_ceiling_is_what_a_plain_product_reaches_and_draws_nothing() -> None:
    before = torch.get_rng_state()
    start = time.monotonic()
    ceiling = matmul_ceiling(torch.device("cpu"), torch.float32)
    assert time.monotonic() - start < 5
    assert torch.equal(before, torch.get_rng_state())
    left = torch.ones(512, 512)
    seconds = []
    for _ in range(20):
        begin = time.thread_time()
        left @ left
        seconds.append(time.thread_time() - begin)
    assert 0.5 < ceiling / (2 * 512**3 / min(seconds)) < 4
    assert torch.get_num_threads() == 1


@pytest.mark.parametrize("tokens", [5, CONTEXT])
def test_the_flops_of_a_batch_are_those_of_its_tokens(tokens: int) -> None:
    decoder = model()
    micro = {"input_ids": torch.zeros(3, tokens + 1, dtype=torch.int64)}
    expected = 2 * 3 * tokens * flops_per_token(decoder.config, tokens)
    assert BatchFlops(decoder)(Batch([micro, micro], 1)) == pytest.approx(expected)


def test_log_metrics_are_the_specification_s_names() -> None:
    figures = log_metrics(2.0, 7, 3e-4)
    assert figures == {
        "train/loss": 2.0,
        "train/perplexity": pytest.approx(math.exp(2.0)),
        "train/learning_rate": 3e-4,
        "train/step": 7,
    }
    assert log_metrics(1e4, 7, 0.0)["train/perplexity"] == math.inf


def test_bits_a_byte_are_of_the_text_that_the_targets_stand_for() -> None:
    labels = torch.tensor([[1, 2, 0], [2, IGNORED, IGNORED]])
    text_bytes = np.array([0, 4, 2])
    per_target = bytes_per_target(Batch([{"labels": labels}], 4), text_bytes)
    assert per_target == pytest.approx(8 / 4)
    assert log_metrics(1.0, 1, 0.0, per_target)["train/bits_per_byte"] == pytest.approx(1 / math.log(2) / 2)
    assert bytes_per_target(Batch([{"labels": labels}], 4), np.zeros(3, int)) is None


def test_a_run_logs_every_figure_with_its_unit(tmp_path: Path) -> None:
    one = stage(tmp_path, train_config(max_steps=3, warmup_steps=0, price_per_hour=3.6))
    one.text_bytes = np.full(VOCABULARY, 2)
    facts = run_stage(one, model())
    rows = list(read_log(tmp_path / "log.jsonl"))
    units = {row["name"]: row["unit"] for row in rows if row["name"].startswith("train/")}
    assert units["train/tokens_per_second"] == "tokens/s"
    assert units["train/memory"] == "bytes"
    assert units["train/bits_per_byte"] == "bits/byte"
    assert units["train/cost"] == "currency of train.price_per_hour"
    found = rows_of(tmp_path)
    (_, seconds), (_, cost) = found["train/seconds"][-1], found["train/cost"][-1]
    assert cost == pytest.approx(seconds * 3.6 / 3600)
    assert all(0 < value < 2 for _, value in found["train/mfu"])
    assert all(0 <= value <= 1 for _, value in found["train/data_wait"])
    loss = found["train/loss"][-1][1]
    assert found["train/bits_per_byte"][-1][1] == pytest.approx(loss / math.log(2) / 2)
    assert not set(MEASURED) & set(facts["final"])
    machine = json.loads((tmp_path / "machine.json").read_bytes())
    assert machine["matmul_ceiling_flops"] > 1e8
    assert machine["energy"]


def test_waiting_for_slow_data_is_seen(tmp_path: Path) -> None:
    config = train_config(max_steps=3, warmup_steps=0)
    one = stage(tmp_path, config)
    source = batches(config)

    class Slow:
        def batch(self, step: int) -> Batch:
            time.sleep(0.2)
            return source.batch(step)

        describe = source.describe

    one.batches = Slow()
    run_stage(one, model())
    (_, wait) = rows_of(tmp_path)["train/data_wait"][-1]
    assert wait > 0.4


class TwoSources(NumberedSamples):
    """Odd samples are of one source, even ones of another; a third is never drawn."""

    sources = ("even", "odd", "never")

    def draw(self, index: int) -> Draw:
        return Draw("odd" if index % 2 else "even", 0, index)


def test_losses_by_source_are_those_of_the_source_s_rows_and_leave_training_alone(tmp_path: Path) -> None:
    config = train_config(max_steps=2, warmup_steps=0)
    decoder, other = model(), model()
    samples = TokenBatches(TwoSources(), config.batch_size, config.gradient_accumulation_steps)
    first = samples.batch(0)
    rows = [row for micro in first.micro_batches for row in micro["input_ids"]]
    with torch.no_grad():
        decoder.eval()
        expected = [
            float(decoder(torch.stack(rows[turn::2]), torch.stack(rows[turn::2])).loss) for turn in (0, 1)
        ]
        decoder.train()
    one = stage(tmp_path / "a", train_config(max_steps=2, warmup_steps=0, source_loss_steps=1))
    one.batches = samples
    run_stage(one, decoder)
    found = rows_of(tmp_path / "a")
    assert found["train/even/loss"][0] == (1, pytest.approx(expected[0], abs=1e-5))
    assert found["train/odd/loss"][0] == (1, pytest.approx(expected[1], abs=1e-5))
    assert "train/never/loss" not in found

    plain = stage(tmp_path / "b", config)
    plain.batches = samples
    run_stage(plain, other)
    assert torch.equal(decoder.head_weight, other.head_weight)


def test_a_sink_that_raises_is_told_nothing_more(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    calls = []

    class Broken:
        def log(self, step: int, metrics: Mapping[str, float]) -> None:
            calls.append(step)
            raise OSError("no route to host")

    log = MetricLog(tmp_path / "log.jsonl", (Broken(),))
    for step in (1, 2):
        log.log(step, {"train/loss": 1.0})
    assert calls == [1]
    assert [row["step"] for row in read_log(log.path)] == [1, 2]
    assert "Broken gets no more figures (OSError('no route to host'))" in capsys.readouterr().err
