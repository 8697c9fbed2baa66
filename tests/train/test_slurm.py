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
    *("train.parallel.type=ddp", "train.max_steps=120", "train.save_steps=10", "train.eval_steps=1000"),
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


def until(what: Callable[[], object], pause_seconds: float = 0.02) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while not what():
        assert time.monotonic() < end, f"{what} was waited for in vain:\n{asked('squeue', '--long')}"
        time.sleep(pause_seconds)


def until_saved(home: Path, step: int) -> None:
    saves = "runs/*/*/checkpoints/step-*"
    until(lambda: any(int(path.name[5:11]) >= step for path in home.glob(saves)))


def until_over(job: str) -> None:
    until(lambda: job not in asked("squeue", "--noheader", "--format=%i").split(), 0.2)


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


def job_words(home: Path, work: Path) -> list[str]:
    shutil.copytree(home / "tokens", work)
    return [
        "launch",
        "slurm",
        str(home / "micro.toml"),
        "-n",
        "2",
        "--hours",
        "1",
        "--home",
        str(work),
        *SETTINGS,
    ]


def test_jobs_that_lose_a_process_or_their_place_end_with_the_same_weights(
    home: Path,
    cluster: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One by sbatch, one by submitit, in turns: each has the machine while the other waits in the queue."""
    pytest.importorskip("submitit", reason="submitit is not installed")
    monkeypatch.chdir(tmp_path)
    by_file, by_submitit = tmp_path / "by-file", tmp_path / "by-submitit"

    assert main(job_words(home, by_file)) == 0
    first = asked("sbatch", "--parsable", "micro.sbatch").strip()
    capsys.readouterr()
    assert main([*job_words(home, by_submitit), "--submit"]) == 0
    second = capsys.readouterr().out.split()[3].rstrip(";")

    until_saved(by_file, 10)
    processes_of(by_file)["1"].kill()
    until_saved(by_submitit, 10)
    asked("scancel", "--signal=USR2", second)  # what submitit asks Slurm to say before it takes the machines
    until_saved(by_file, 20)
    asked("scancel", "--signal=USR1", first)  # what the job file asks for
    until_over(first)
    until_over(second)

    said = (tmp_path / f"micro-{first}.log").read_text()
    assert said.count("going on at step") == 2, said
    assert "stopped by a signal after saving" in said
    assert weights(by_file) == weights(home / "work"), said
    said = "\n".join(path.read_text() for path in (tmp_path / "micro-slurm").glob("*.out"))
    assert "going on at step" in said
    assert "Requeued job" in said
    assert weights(by_submitit) == weights(home / "work"), said
