"""Runs: one folder a named run, with its settings, its surroundings, and a folder for each training stage.

```
runs/tiny/run.toml            resolved, every default filled in
runs/tiny/made.json           which artifact each stage gave last
runs/tiny/environment.json    commit, versions, hardware, command line of the last start
runs/tiny/train-3f2a91d0/     log.jsonl, checkpoints/step-000500/ …   (the id of what is being trained)
runs/tiny/report.md
```
"""

from __future__ import annotations

import itertools
import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from towpath import __version__
from towpath.core.artifacts import FOLDER_ID_LENGTH
from towpath.core.errors import ConfigError
from towpath.core.files import readable_json, write_durably
from towpath.core.locks import locked
from towpath.core.processes import is_first

RUN_FILE, MADE = "run.toml", "made.json"
_PACKAGES = ("torch", "numpy", "pyarrow", "daft", "tokenizers", "tiktoken", "safetensors", "pydantic")


def home_folder() -> Path:
    """Where artifacts and runs live: ``$TOWPATH_HOME``, or ``work`` in the current folder."""
    return Path(os.environ.get("TOWPATH_HOME") or "work")


class Run:
    """The folder of the run called ``name`` below ``home``."""

    def __init__(self, home: Path, name: str) -> None:
        if problem := problem_of_name(name):
            raise ConfigError(problem)
        self.name = name
        self.path = home / "runs" / name

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep every other process from this run while inside; the first process of a job does it for all.

        Raises:
            LockedError: another process is at work on it.
        """
        if not is_first():
            yield
            return
        with locked(self.path / "lock", f"run {self.name!r}"):
            yield

    def stage(self, name: str, identifier: str) -> Path:
        """The folder of one training stage, made when missing."""
        path = self.path / f"{name}-{identifier[:FOLDER_ID_LENGTH]}"
        path.mkdir(parents=True, exist_ok=True)
        return path

    def record(self, stage: str, artifact: str) -> None:
        """``artifact`` is what ``stage`` gives now; what came after another one of it is forgotten."""
        made = made_by(self.path)
        if not is_first() or made.get(stage) == artifact:
            return
        before = itertools.takewhile(lambda name: name != stage, made)
        rows = {**{name: made[name] for name in before}, stage: artifact}
        write_durably(self.path / MADE, readable_json(rows))

    def describe(self, run_toml: str) -> None:
        """Write ``run.toml`` and ``environment.json``; the first process of a job does."""
        if not is_first():
            return
        self.path.mkdir(parents=True, exist_ok=True)
        write_durably(self.path / RUN_FILE, run_toml.encode())
        write_durably(self.path / "environment.json", readable_json(environment()))


def problem_of_name(name: str) -> str | None:
    """Why ``name`` can't be that of a run; None: it can."""
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name):
        return None
    return (
        f"name = {name!r} can't name a folder. "
        "Use up to 100 letters, digits, '.', '_' and '-', for example 'tiny'."
    )


def made_by(run: Path) -> dict[str, str]:
    """By stage, in their order, the artifacts that the run in the folder ``run`` made or found last."""
    path = run / MADE
    return json.loads(path.read_bytes()) if path.exists() else {}


def environment() -> dict[str, Any]:
    """What a run's numbers depend on besides its settings."""
    return {
        "towpath": __version__,
        "commit": _commit(),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in _PACKAGES},
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "command": sys.argv,
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _commit() -> str | None:
    """The commit of the checkout that this package is imported from, if it is one."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return result.stdout.strip() or None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
