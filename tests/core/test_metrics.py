"""The metric log: rows survive a kill, and a resumed run has each row once."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from towpath.core.errors import ConfigError
from towpath.core.metrics import MetricLog, peak_memory_bytes, read_log
from towpath.core.progress import progress
from towpath.core.runs import Run, environment


def test_rows_hold_step_name_value_and_unit(tmp_path: Path) -> None:
    log = MetricLog(tmp_path / "log.jsonl")
    log.log(3, {"train/loss": 2.5})
    assert list(read_log(log.path)) == [{"step": 3, "name": "train/loss", "value": 2.5, "unit": "nats/token"}]


def test_rewinding_drops_later_rows_and_a_torn_one(tmp_path: Path) -> None:
    log = MetricLog(tmp_path / "log.jsonl")
    for step in range(1, 6):
        log.log(step, {"train/loss": float(step)})
    with log.path.open("a") as file:
        file.write('{"step": 6, "na')
    log.rewind(3)
    assert [row["step"] for row in read_log(log.path)] == [1, 2, 3]
    log.log(4, {"train/loss": 4.0})
    assert [row["step"] for row in read_log(log.path)] == [1, 2, 3, 4]


def test_sinks_are_given_the_same_figures(tmp_path: Path) -> None:
    seen: list[tuple[int, dict[str, float]]] = []

    class Recorder:
        def log(self, step: int, metrics: Mapping[str, float]) -> None:
            seen.append((step, dict(metrics)))

    MetricLog(tmp_path / "log.jsonl", (Recorder(),)).log(7, {"train/loss": 1.0})
    assert seen == [(7, {"train/loss": 1.0})]


def test_progress_off_a_terminal_ends_with_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("reading", total=3, unit="documents") as bar:
        bar.advance(3)
        bar.note("all well")
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("reading: 3 of 3 documents")
    assert "all well" in lines[0]


def test_a_run_name_must_name_a_folder(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"name = '../up' can't name a folder"):
        Run(tmp_path, "../up")


def test_the_environment_names_versions_and_hardware() -> None:
    facts = environment()
    assert facts["packages"]["pydantic"]
    assert facts["cores"] >= 1
    assert peak_memory_bytes() > 1e6
