"""Jobs on a real Slurm of one machine end with the weights of the same job started by hand, however often
they lose a process or their place."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.path.conftest import run_file, write_corpus
from tests.train import slurm
from towpath.cli import main

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(slurm.missing() is not None, reason=str(slurm.missing())),
]
SETTINGS = [
    *("train.parallel.type=ddp", "train.max_steps=90", "train.save_steps=10", "train.eval_steps=1000"),
    "train.log_steps=10",
]
PATIENCE_SECONDS = 90


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a run file, its tokens, and the weights of the job that was started here and left alone."""
    folder = tmp_path_factory.mktemp("home")
    write_corpus(folder)
    (folder / "micro.toml").write_text(run_file(folder))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TOWPATH_HOME", str(folder / "work"))
        assert main(["run", str(folder / "micro.toml"), "--until", "tokens", *SETTINGS]) == 0
    shutil.copytree(folder / "work", folder / "tokens")
    words = ["launch", "local", str(folder / "micro.toml"), "-n", "2", *SETTINGS]
    environment = {**os.environ, "TOWPATH_HOME": str(folder / "work"), "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-m", "towpath", *words], env=environment, check=True)
    return folder


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with (
        slurm.running(tmp_path_factory.mktemp("slurm")) as configuration,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("SLURM_CONF", str(configuration))
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)  # `python` of the job file
        yield


def asked(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def until(what: Callable[[], object], job: str) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while not what():
        assert time.monotonic() < end, f"{what} was waited for in vain:\n{asked('squeue', '--long')}"
        slurm.hurry(job)
        time.sleep(0.1)


def until_saved(home: Path, step: int, job: str) -> None:
    saves = "runs/*/*/checkpoints/step-*"
    until(lambda: any(int(path.name[5:11]) >= step for path in home.glob(saves)), job)


def until_over(job: str) -> None:
    until(lambda: job not in asked("squeue", "--noheader", "--format=%i").split(), job)


def processes_of(home: Path) -> dict[str, psutil.Process]:
    """The training processes whose home it is, by rank."""
    found = {}
    for process in psutil.process_iter(["cmdline"]):
        if (process.info["cmdline"] or [])[1:4] == ["-m", "towpath", "train"]:
            variables = process.environ()
            if variables.get("TOWPATH_HOME") == str(home):
                found[variables["RANK"]] = process
    return found


def weights(home: Path) -> bytes:
    (path,) = home.glob("artifacts/checkpoint/*/model.safetensors")
    return path.read_bytes()


def test_a_queued_job_loses_a_process_and_its_place_and_ends_with_the_same_weights(
    home: Path, cluster: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    work = tmp_path / "work"
    shutil.copytree(home / "tokens", work)
    monkeypatch.setenv("TOWPATH_HOME", str(work))
    words = ["launch", "slurm", str(home / "micro.toml"), "-n", "2", "--hours", "1", "--home", str(work)]
    assert main([*words, *SETTINGS]) == 0
    job = asked("sbatch", "--parsable", "micro.sbatch").strip()
    until_saved(work, 10, job)
    processes_of(work)["1"].kill()
    log = tmp_path / f"micro-{job}.log"
    until(lambda: "going on at step" in log.read_text(), job)
    asked("scancel", "--signal=USR1", job)  # what Slurm does before it takes the machines away
    until(lambda: log.read_text().count("going on at step") == 2, job)
    until_over(job)
    assert weights(work) == weights(home / "work"), log.read_text()
    assert log.read_text().count("stopped by a signal after saving") >= 1


def test_a_job_of_submitit_is_sent_away_and_ends_with_the_same_weights(
    home: Path,
    cluster: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip("submitit", reason="submitit is not installed")
    monkeypatch.chdir(tmp_path)
    work = tmp_path / "work"
    shutil.copytree(home / "tokens", work)
    monkeypatch.setenv("TOWPATH_HOME", str(work))
    words = ["launch", "slurm", str(home / "micro.toml"), "-n", "2", "--hours", "1", "--home", str(work)]
    assert main([*words, "--submit", *SETTINGS]) == 0
    job = capsys.readouterr().out.split()[3].rstrip(";")
    until_saved(work, 10, job)
    asked("scancel", "--signal=USR2", job)  # as submitit asks Slurm to say it
    until_over(job)
    said = "\n".join(path.read_text() for path in (tmp_path / "micro-slurm").glob("*.out"))
    assert "going on at step" in said
    assert "Requeued job" in said
    assert weights(work) == weights(home / "work"), said
