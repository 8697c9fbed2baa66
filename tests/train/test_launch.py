"""Job files say what they should to the programs that read them; a local job ends and starts again."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from towpath.cli import main
from towpath.core.errors import ConfigError, TrainError
from towpath.train.launch.job import Job
from towpath.train.launch.kubernetes import kubernetes_job
from towpath.train.launch.local import supervise
from towpath.train.launch.skypilot import skypilot_task
from towpath.train.launch.slurm import slurm_script
from towpath.train.launch.submitted import Training
from towpath.train.launch.yaml_text import yaml_text

yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")
OVERRIDES = ("train.parallel.type=fsdp", 'train.sample_prompt=it\'s "so" $HOME')
JOB = Job("gpt-125m", "runs/gpt.toml", OVERRIDES, nodes=2, processes=4, gpus="A100", home="my shared/work")
RUN_TOML = 'name = "gpt-125m"\n\n[train]\nsample_prompt = "a: b # c"\n'


def words_after_towpath(command: str) -> list[str]:
    words = shlex.split(command)
    return words[words.index("towpath") + 1 :]


@pytest.mark.parametrize(
    "value",
    [
        {"a": 1, "b": True, "c": None, "d": "no", "e": "1.5", "f": 'quote " and \\'},
        {"list": [1, "x", {"a": 1, "b": {"c": [2]}}, {"only": "x\ny\n"}], "empty": [], "none": {}},
        {"text": "one\n\n  two: three\n- four\n", "after": "ü ☃"},
    ],
)
def test_yaml_says_what_was_given(value: dict[str, Any]) -> None:
    assert yaml.safe_load(yaml_text(value)) == value


def test_the_kubernetes_objects_fit_together() -> None:
    claim, run_file, service, job = yaml.safe_load_all(kubernetes_job(JOB, RUN_TOML))
    assert [one["kind"] for one in (claim, run_file, service, job)] == [
        *("PersistentVolumeClaim", "ConfigMap", "Service", "Job")
    ]
    assert job["apiVersion"] == "batch/v1"
    assert job["spec"]["completionMode"] == "Indexed"
    assert job["spec"]["completions"] == job["spec"]["parallelism"] == 2
    pod = job["spec"]["template"]["spec"]
    assert pod["subdomain"] == service["metadata"]["name"]
    assert service["spec"]["selector"] == {"job-name": job["metadata"]["name"]}
    assert service["spec"]["clusterIP"] == "None"
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    assert volumes["work"]["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    assert volumes["run"]["configMap"]["name"] == run_file["metadata"]["name"]
    (container,) = pod["containers"]
    assert {mount["name"] for mount in container["volumeMounts"]} == set(volumes)
    assert container["resources"]["limits"] == {"nvidia.com/gpu": 4}
    shell, option, command = container["command"]
    assert (shell, option) == ("/bin/sh", "-c")
    assert "--nnodes=2 --nproc-per-node=4" in command
    assert f"{job['metadata']['name']}-0.{service['metadata']['name']}" in command
    assert words_after_towpath(command) == ["train", "/run-file/run.toml", *OVERRIDES]
    assert run_file["data"]["run.toml"] == RUN_TOML


def test_the_skypilot_task_names_machines_and_command() -> None:
    task = yaml.safe_load(skypilot_task(JOB))
    assert set(task) == {"name", "num_nodes", "resources", "workdir", "envs", "setup", "run"}
    assert task["num_nodes"] == 2
    assert task["resources"]["accelerators"] == "A100:4"
    assert "SKYPILOT_NODE_RANK" in task["run"]
    assert words_after_towpath(task["run"]) == ["train", "runs/gpt.toml", *OVERRIDES]
    without = yaml.safe_load(skypilot_task(Job("a", "run.toml", processes=2)))
    assert without["resources"]["cpus"] == "4+"


def test_the_slurm_script_is_a_shell_script_that_queues_itself_again(tmp_path: Path) -> None:
    script = slurm_script(JOB)
    options = dict(
        line[8:].partition("=")[::2] for line in script.splitlines() if line.startswith("#SBATCH ")
    )
    assert options["--nodes"] == "2"
    assert options["--ntasks-per-node"] == "4"
    assert options["--gpus-per-node"] == "4"
    assert options["--signal"] == "USR1@120"
    for status, restarts, again in (
        (138, 0, True),
        (75, 0, True),
        (143, 0, True),
        (1, 0, False),
        (0, 0, False),
        (138, 3, False),
    ):
        assert slurm_without_slurm(script, tmp_path, status, restarts) == (status, again)
    ran = shlex.split((tmp_path / "srun").read_text())
    assert ran[:3] == ["--kill-on-bad-exit=1", "bash", "-c"]
    words = words_after_towpath(ran[3].partition("; status=")[0])
    assert words == ["train", "runs/gpt.toml", *OVERRIDES]


def test_a_slurm_job_of_which_a_task_failed_by_itself_is_not_queued_again(tmp_path: Path) -> None:
    script = slurm_script(Job("a", "run.toml", processes=2, home=str(tmp_path / "home")))
    for of_python, again in ((1, False), (75, True)):
        shadow = f"python() {{ return {of_python}; }}; export -f python; "
        assert slurm_without_slurm(shadow + script, tmp_path, 143, 0, runs=True) == (143, again)


def test_a_job_that_cannot_be_submitted_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "")
    words = ["launch", "slurm", "tiny", "-n", "2", "train.gradient_accumulation_steps=4", "--submit"]
    for module, said in (
        ("submitit", "Slurm's srun is not on this machine"),
        (None, "pip install 'towpath[slurm]'"),
    ):
        if module is None:
            monkeypatch.setitem(sys.modules, "submitit", None)
        else:
            pytest.importorskip(module, reason="submitit is not installed")
        assert main(words) == ConfigError.exit_code
        assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("status", "restarts", "again"), [(137, 0, True), (75, 2, True), (137, 3, False), (1, 0, False)]
)
def test_a_task_of_submitit_queues_its_job_again_when_a_process_was_lost_and_only_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int, restarts: int, again: bool
) -> None:
    (tmp_path / "scontrol").write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/asked\n')
    (tmp_path / "scontrol").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setenv("SLURM_RESTART_COUNT", str(restarts))
    with pytest.raises(SystemExit if again else TrainError):
        Training(["train", "run.toml"], "work", max_restarts=3)._end(status, "17")
    assert (tmp_path / "asked").exists() == again
    assert not again or (tmp_path / "asked").read_text() == "requeue 17\n"


def slurm_without_slurm(
    script: str, folder: Path, status: int, restarts: int, *, runs: bool = False
) -> tuple[int, bool]:
    """Run ``script`` with stand-ins for Slurm's commands; its status, whether it asked for another turn.

    ``runs``: the task runs too.
    """
    task = '"${@:2}"; ' if runs else ""
    for name, body in {
        "srun": f'printf "%q " "$@" > {folder}/srun; {task}exit {status}',
        "scontrol": f'if [ "$1" = requeue ]; then touch {folder}/again; else echo first; fi',
    }.items():
        (folder / "bin").mkdir(exist_ok=True)
        (folder / "bin" / name).write_text(f"#!/bin/bash\n{body}\n")
        (folder / "bin" / name).chmod(0o755)
    (folder / "again").unlink(missing_ok=True)
    environment = {
        "PATH": f"{folder / 'bin'}:/usr/bin:/bin",
        "SLURM_JOB_ID": "17",
        "SLURM_JOB_NODELIST": "first",
        "SLURM_RESTART_COUNT": str(restarts),
    }
    done = subprocess.run(["bash", "-c", script], env=environment, cwd=folder, check=False)
    return done.returncode, (folder / "again").exists()


@pytest.mark.parametrize("kind", ["slurm", "skypilot", "kubernetes"])
def test_a_job_file_is_shown_or_written(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["launch", kind, "tiny", "-n", "2", "train.gradient_accumulation_steps=4"]
    assert main([*words, "--dry-run"]) == 0
    shown = capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []
    assert "train.parallel.type=ddp" in shown
    assert main(words) == 0
    (written,) = tmp_path.iterdir()
    assert written.read_text() == shown


def test_a_job_that_every_process_would_refuse_is_refused_before(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["launch", "local", "tiny", "-n", "3", "train.gradient_accumulation_steps=4"]
    assert main(words) == 1
    assert "Set train.gradient_accumulation_steps = 6" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "said"), [("--nodes", "Give at least --nodes 1"), ("-n", "at least -n 1")]
)
def test_a_job_of_nothing_is_refused_with_the_option_that_says_so(
    option: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["launch", "slurm", "tiny", option, "0", "--dry-run"]) == 2
    assert said in capsys.readouterr().err


def test_a_job_on_slurm_has_the_home_of_the_command_unless_told_another(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TOWPATH_HOME", "/shared/here")
    for words, home in (([], "/shared/here"), (["--home", "/shared/there"], "/shared/there")):
        assert main(["launch", "slurm", "tiny", "--dry-run", *words]) == 0
        assert f"export TOWPATH_HOME={home}\n" in capsys.readouterr().out


def test_a_name_that_no_cluster_takes_is_refused() -> None:
    with pytest.raises(ConfigError, match="GPT_125M"):
        Job("GPT_125M", "run.toml")


SCRIPT = """
import os, pathlib, signal, sys
folder, rank = pathlib.Path(sys.argv[1]), os.environ["RANK"]
tries = folder / f"tries-{rank}"
tries.write_text(str(int(tries.read_text()) + 1 if tries.exists() else 1))
assert os.environ["WORLD_SIZE"] == "2" and os.environ["MASTER_PORT"]
if rank == "1" and sys.argv[2] == "fail": sys.exit(2)
if rank == "1" and sys.argv[2] == "always" or sys.argv[2] == "once" and tries.read_text() == "1":
    os.kill(os.getpid(), signal.SIGKILL)
if rank == "0" and sys.argv[2] == "fail": signal.pause()
"""


@pytest.mark.parametrize(
    ("what", "status", "tries"), [("well", 0, 1), ("once", 0, 2), ("always", 137, 3), ("fail", 2, 1)]
)
def test_a_local_job_starts_again_when_a_process_was_lost_and_only_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str, status: int, tries: int
) -> None:
    monkeypatch.setattr("towpath.train.launch.local.GRACE_SECONDS", 0.2)
    command = [sys.executable, "-c", SCRIPT, str(tmp_path), what]
    assert supervise(command, 2, max_restarts=2) == status
    assert (tmp_path / "tries-1").read_text() == str(tries)
