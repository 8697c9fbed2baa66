"""Kill it anywhere: SIGKILL at random instants of the whole path, the same command again, the same bits."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from towpath.train.meters import MEASURED

KILLS = 20


def start(run_file: Path, home: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "towpath", "run", str(run_file)]
    environment = {**os.environ, "TOWPATH_HOME": str(home), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def made(home: Path) -> dict[str, dict[str, str]]:
    """For each artifact, the SHA-256 of each of its files."""
    found: dict[str, dict[str, str]] = {}
    for path in sorted(home.glob("artifacts/*/*/manifest.json")):
        manifest = json.loads(path.read_bytes())
        name = f"{manifest['kind']} {manifest['name']} {manifest['id']}"
        found[name] = {file: facts["sha256"] for file, facts in manifest["files"].items()}
    return found


def rows(home: Path) -> list[tuple[str, int, str, float]]:
    """Every figure of every log that no meter gives."""
    found = []
    for path in sorted(home.glob("runs/*/*/log.jsonl")):
        for line in path.read_text().splitlines():
            row = json.loads(line)
            if row["name"] not in MEASURED:
                found.append((path.parent.name, row["step"], row["name"], row["value"]))
    return found


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_killed_at_random_instants_ends_with_the_same_bits(micro: Path, tmp_path: Path) -> None:
    begin = time.monotonic()
    whole = start(micro, tmp_path / "whole")
    _, messages = whole.communicate()
    assert whole.returncode == 0, messages.decode()
    seconds = time.monotonic() - begin
    expected = made(tmp_path / "whole")
    assert sum(name.startswith("checkpoint") for name in expected) == 2

    draw = random.Random(11)
    kills, homes = 0, 0
    while kills < KILLS:
        home = tmp_path / f"home-{homes}"
        homes += 1
        returncode = -signal.SIGKILL
        while returncode == -signal.SIGKILL:
            process = start(micro, home)
            try:
                _, messages = process.communicate(timeout=draw.uniform(0.5, seconds))
            except subprocess.TimeoutExpired:
                process.kill()
                _, messages = process.communicate()
                kills += 1
            returncode = process.returncode
        assert returncode == 0, messages.decode()
        assert made(home) == expected
        assert rows(home) == rows(tmp_path / "whole")
    print(f"\n{kills} kills over {homes} runs of {seconds:.0f} s: every artifact and figure is the same")
