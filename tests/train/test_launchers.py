"""Other people's launchers start the same job: torchrun and ``accelerate launch``, each of two processes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.path.conftest import run_file, write_corpus
from towpath.cli import main

SETTINGS = ["train.parallel.type=ddp", "train.max_steps=6", "train.save_steps=6", "train.eval_steps=6"]
LAUNCHERS = {
    "torchrun": ["torch.distributed.run", "--standalone", "--nproc-per-node", "2"],
    "accelerate launch": ["accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"],
}


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_every_launcher_ends_with_the_weights_of_towpath_launch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("accelerate")
    write_corpus(tmp_path)
    (tmp_path / "micro.toml").write_text(run_file(tmp_path))
    monkeypatch.setenv("TOWPATH_HOME", str(tmp_path / "tokens"))
    run = [str(tmp_path / "micro.toml"), *SETTINGS]
    assert main(["run", *run, "--until", "tokens"]) == 0
    commands = {
        "own": ["towpath", "launch", "local", *run[:1], "-n", "2", *SETTINGS],
        **{name: [*words, "-m", "towpath", "train", *run] for name, words in LAUNCHERS.items()},
    }
    weights = {}
    for name, command in commands.items():
        home = tmp_path / name.replace(" ", "-")
        shutil.copytree(tmp_path / "tokens", home)
        environment = {
            **os.environ,
            "TOWPATH_HOME": str(home),
            "OMP_NUM_THREADS": "1",
            "ACCELERATE_USE_CPU": "1",
        }
        subprocess.run([sys.executable, "-m", *command], env=environment, check=True, cwd=tmp_path)
        (checkpoint,) = (home / "artifacts" / "checkpoint").glob("*/model.safetensors")
        weights[name] = checkpoint.read_bytes()
    assert set(weights) == {"own", *LAUNCHERS}
    assert len(set(weights.values())) == 1
