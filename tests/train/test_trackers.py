"""Trackers get every figure once, and nothing that they do takes a step, a second or a bit from training."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.train.conftest import assert_same, model, stage, train_config, weights
from tests.train.test_resume import Killed, kill_at
from tests.train.tracker_doubles import Bad
from towpath.core.metrics import MetricLog, read_log
from towpath.train.stage import run_stage
from towpath.train.trackers import TRACKERS, TrackedRun, TrackerConfig
from towpath.train.trackers.follow import Sent, Tail, follow
from towpath.train.trackers.followers import Followers
from towpath.train.trackers.jsonl import JsonlConfig


class Recorder:
    def __init__(self) -> None:
        self.seen: list[tuple[int, dict[str, float]]] = []

    def log(self, step: int, metrics) -> None:
        self.seen.append((step, dict(metrics)))

    def close(self) -> None:
        pass


def ended() -> threading.Event:
    event = threading.Event()
    event.set()
    return event


def followed(folder: Path, tail: Tail | None = None) -> list[tuple[int, dict[str, float]]]:
    """What one start of a tracker is told of ``folder``'s log as it is."""
    recorder = Recorder()
    follow(recorder, tail or Tail(folder / "log.jsonl"), Sent(folder / "sent.json"), ended())
    return recorder.seen


@pytest.fixture
def black_hole() -> Iterator[int]:
    """A port of a server that takes every connection and never answers."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(64)
        yield server.getsockname()[1]


def test_the_figures_of_a_step_go_out_together_and_once(tmp_path: Path) -> None:
    log = MetricLog(tmp_path / "log.jsonl")
    log.log(1, {"train/loss": 3.0, "train/step": 1})
    log.log(2, {"train/loss": 2.0})
    assert followed(tmp_path) == [(1, {"train/loss": 3.0, "train/step": 1}), (2, {"train/loss": 2.0})]
    log.log(2, {"validation/loss": 2.5})
    assert followed(tmp_path) == [(2, {"validation/loss": 2.5})]
    assert followed(tmp_path) == []


def test_a_log_that_goes_back_sends_only_what_is_new(tmp_path: Path) -> None:
    log = MetricLog(tmp_path / "log.jsonl")
    tail = Tail(log.path)
    for step in (1, 2, 3):
        log.log(step, {"train/loss": 1.0 * step})
    assert [step for step, _ in followed(tmp_path, tail)] == [1, 2, 3]
    log.rewind(1)
    for step in (2, 3, 4):
        log.log(step, {"train/loss": 10.0 * step})
    assert followed(tmp_path, tail) == [(4, {"train/loss": 40.0})]


def test_a_row_that_is_half_written_waits_for_its_end(tmp_path: Path) -> None:
    row = '{"step": 1, "name": "train/loss", "value": 3.0}\n'
    (tmp_path / "log.jsonl").write_text(row[:20])
    tail = Tail(tmp_path / "log.jsonl")
    assert list(tail.steps()) == []
    (tmp_path / "log.jsonl").open("a").write(row[20:])
    assert list(tail.steps()) == [(1, {"train/loss": 3.0})]


def test_a_kill_while_a_figure_goes_out_never_doubles_it(tmp_path: Path) -> None:
    log = MetricLog(tmp_path / "log.jsonl")
    for step in (1, 2):
        log.log(step, {"train/loss": 1.0})

    class Deadly(Recorder):
        def log(self, step: int, metrics) -> None:
            super().log(step, metrics)
            raise Killed

    first = Deadly()
    with pytest.raises(Killed):
        follow(first, Tail(log.path), Sent(tmp_path / "sent.json"), ended())
    assert [step for step, _ in first.seen + followed(tmp_path)] == [1, 2]


def test_a_resumed_run_goes_on_in_the_same_file_without_doubled_rows(tmp_path: Path) -> None:
    config = train_config(trackers=[{"type": "jsonl", "close_seconds": 60}], max_steps=8, save_steps=4)
    one = stage(tmp_path, config)
    kill_at(one, 6)
    with pytest.raises(Killed):
        run_stage(one, model())
    run_stage(stage(tmp_path, config), model())
    rows = [json.loads(line) for line in (tmp_path / "trackers" / "figures.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == list(range(1, 9))
    known = {(row["step"], row["name"]): row["value"] for row in read_log(tmp_path / "log.jsonl")}
    assert all(row["train/loss"] == known[row["step"], "train/loss"] for row in rows)


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"raises": "load"}, "OSError: no route to host in load"),
        ({"raises": "open"}, "OSError: no route to host in open"),
        ({"hangs": "open", "init_seconds": 0.3}, "it was not ready after 0.3 s"),
        ({"asks": True}, "EOFError"),
        ({"raises": "log"}, "OSError: no route to host in log"),
        ({"hangs": "log", "close_seconds": 0.5}, "it was not done at the end of the stage"),
        ({"hangs": "close", "close_seconds": 0.5}, "it was not done at the end of the stage"),
    ],
    ids=lambda value: "-".join(map(str, value)) if isinstance(value, dict) else "",
)
def test_whatever_a_tracker_does_the_stage_goes_on_and_says_it_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], settings: dict, why: str
) -> None:
    log = MetricLog(tmp_path / "log.jsonl")
    section = Bad(**{"close_seconds": 20.0, "init_seconds": 2.0, **settings})
    start = time.monotonic()
    with Followers(tmp_path, [section], {}) as followers:
        started = time.monotonic() - start
        log.log(1, {"train/loss": 1.0})
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert said[0].startswith("train: the tracker bad gets no more figures: ")
    assert re.search(why, said[0])
    assert started < 0.5
    assert followers.followers[0].process.poll() is not None


def test_training_with_trackers_that_hang_is_training_without_any(
    tmp_path: Path, black_hole: int, capsys: pytest.CaptureFixture[str]
) -> None:
    plain, tracked = model(), model()
    run_stage(stage(tmp_path / "plain", train_config()), plain)
    one = stage(tmp_path / "tracked", train_config())
    held = {"hangs": "open", "close_seconds": 0.2}
    object.__setattr__(one.config, "trackers", [Bad(**held), Bad(hangs="log", close_seconds=0.2)])
    run_stage(one, tracked)
    assert_same(weights(plain), weights(tracked))
    assert len(list(read_log(tmp_path / "tracked" / "log.jsonl"))) > 12
    assert capsys.readouterr().err.count("the tracker bad gets no more figures") == 2


def test_a_tracker_ends_when_training_is_killed(tmp_path: Path) -> None:
    child = os.fork()
    if child == 0:
        with Followers(tmp_path, [JsonlConfig()], {}) as followers:
            (tmp_path / "pid").write_text(str(followers.followers[0].process.pid))
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    tracker = int((tmp_path / "pid").read_text())
    for _ in range(100):
        try:
            state = Path(f"/proc/{tracker}/stat").read_text().split(")")[1].split()[0]
        except FileNotFoundError:
            return
        if state == "Z":
            return
        time.sleep(0.1)
    raise AssertionError(f"process {tracker} still runs")


def test_every_tracker_of_the_catalogue_is_chosen_by_its_name() -> None:
    for name in TRACKERS.names():
        config = train_config(trackers=[{"type": name}])
        assert config.trackers[0].type == name
    with pytest.raises(ValueError, match="Unknown tracker 'wandbb'. Did you mean 'wandb'"):
        train_config(trackers=[{"type": "wandbb"}])


def run_of(folder: Path, remembered: dict[str, str] | None = None) -> TrackedRun:
    settings = {"learning_rate": 1e-3}
    return TrackedRun("run-1", "run/one", folder, settings, {} if remembered is None else remembered)


def log_and_close(section: TrackerConfig, run: TrackedRun, steps: range) -> None:
    tracker = section.open(run)
    for step in steps:
        tracker.log(step, {"train/loss": 1.0 / step, "train/step": step})
    tracker.close()


def test_tensorboard_files_hold_every_step(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    section = TRACKERS.load("tensorboard")()
    log_and_close(section, run_of(tmp_path), range(1, 4))  # pyright: ignore[reportArgumentType]
    log_and_close(section, run_of(tmp_path), range(4, 6))  # pyright: ignore[reportArgumentType]
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    scalars = events.Scalars("train/loss")
    assert [event.step for event in scalars] == [1, 2, 3, 4, 5]
    assert [event.value for event in scalars] == pytest.approx([1 / step for step in range(1, 6)])


@pytest.mark.slow
def test_mlflow_goes_on_in_the_run_that_it_remembers(tmp_path: Path) -> None:
    mlflow = pytest.importorskip("mlflow")
    section = TRACKERS.load("mlflow")()
    remembered: dict[str, str] = {}
    log_and_close(section, run_of(tmp_path, remembered), range(1, 4))  # pyright: ignore[reportArgumentType]
    log_and_close(section, run_of(tmp_path, remembered), range(4, 6))  # pyright: ignore[reportArgumentType]
    client = mlflow.tracking.MlflowClient((tmp_path / "mlruns").as_uri())
    (experiment,) = [one for one in client.search_experiments() if one.name == "towpath"]
    (run,) = client.search_runs([experiment.experiment_id])
    history = client.get_metric_history(run.info.run_id, "train/loss")
    assert [(row.step, row.value) for row in history] == [(step, 1 / step) for step in range(1, 6)]


PACKAGES = {
    "wandb": {"mode": "offline"},
    "tensorboard": {},
    "mlflow": {},
    "trackio": {},
}


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", PACKAGES)
def test_a_package_gets_every_step_of_a_resumed_run_once(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip(name)
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    monkeypatch.setenv("WANDB_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr("towpath.train.trackers.followers.HURRIED_SECONDS", 60.0)
    limits = {"init_seconds": 60, "close_seconds": 60}
    config = train_config(trackers=[{"type": name, **PACKAGES[name], **limits}], max_steps=8, save_steps=4)
    one = stage(tmp_path / "run" / "train", config)
    kill_at(one, 6)
    with pytest.raises(Killed):
        run_stage(one, model())
    run_stage(stage(tmp_path / "run" / "train", config), model())
    assert "gets no more figures" not in capsys.readouterr().err.splitlines()[-1]
    trackers = tmp_path / "run" / "train" / "trackers"
    sent = json.loads((trackers / f"0-{name}.json").read_bytes())
    assert sent["steps"]["train/loss"] == 8
    if name == "wandb":
        assert wandb_steps(trackers) == dict.fromkeys(range(1, 9), 1)
    if name == "trackio":
        (database,) = [path for path in (tmp_path / "trackio").glob("*.db") if "towpath" in path.name]
        found = sqlite3.connect(database).execute("select step from metrics").fetchall()
        assert Counter(step for (step,) in found) == dict.fromkeys(range(1, 9), 1)


def wandb_steps(folder: Path) -> Counter[int]:
    """How often each step is in the files of all starts."""
    from wandb.proto import wandb_internal_pb2

    steps: Counter[int] = Counter()
    ids = set()
    files = sorted(folder.glob("wandb/offline-run-*/*.wandb"))
    assert len(files) == 2
    for path in files:
        for data in leveldb_records(path.read_bytes()):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(data)
            if record.run.run_id:
                ids.add(record.run.run_id)
            if record.history.item:
                steps[record.history.step.num] += 1
    assert len(ids) == 1
    return steps


def leveldb_records(content: bytes) -> Iterator[bytes]:
    """The records of LevelDB's log format, of which the first 7 bytes are W&B's own."""
    place, record = 7, b""
    while place + 7 <= len(content):
        room = 32768 - place % 32768
        if room < 7:
            place += room
            continue
        size, kind = int.from_bytes(content[place + 4 : place + 6], "little"), content[place + 6]
        record += content[place + 7 : place + 7 + size]
        place += 7 + size
        if kind in (1, 4):  # whole, or the last part
            yield record
            record = b""


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_a_server_that_never_answers_costs_no_step(
    tmp_path: Path,
    name: str,
    black_hole: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip(name)
    address = f"http://127.0.0.1:{black_hole}"
    monkeypatch.setenv("WANDB_BASE_URL", address)
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    where = {"tracking_uri": address} if name == "mlflow" else {}
    config = train_config(trackers=[{"type": name, "close_seconds": 1, **where}])
    plain, tracked = model(), model()
    run_stage(stage(tmp_path / "plain", train_config()), plain)
    run_stage(stage(tmp_path / "tracked", config), tracked)
    assert_same(weights(plain), weights(tracked))
    said = capsys.readouterr().err
    assert said.count(f"the tracker {name} gets no more figures") == 1

    section = TRACKERS.load(name)(init_seconds=1, **where)
    with Followers(tmp_path, [section], {}) as followers:  # pyright: ignore[reportArgumentType]
        followers.followers[0].thread.join(60)
        assert "the tracker" in (said := capsys.readouterr().err)
        assert "it was not ready after 1 s" in said
