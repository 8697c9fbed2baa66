"""A job: which run, on how many machines with how many processes each."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from towpath.core.errors import ConfigError

PORT = 29500
"""Where the first machine listens; torchrun's own default."""
NOTICE_SECONDS = 120
"""What a scheduler leaves between its signal and taking the machine away: a step and a save."""


@dataclass(frozen=True)
class Job:
    """What a job file is made from."""

    name: str
    run_file: str
    """The run file, or the name of a recipe."""
    overrides: Sequence[str] = ()
    nodes: int = 1
    processes: int = 1
    """Processes on each machine: one a GPU."""
    gpus: str | None = None
    """Kind of GPU on clouds, for example A100; None trains on CPUs."""
    hours: int = 24
    max_restarts: int = 3
    image: str = "towpath:latest"
    home: str = "work"
    """Where artifacts and runs lie: a folder that all machines see."""
    storage_gb: int = field(default=100)

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,51}[a-z0-9])?", self.name):
            raise ConfigError(
                f"--name {self.name} can't name a job everywhere. Use at most 53 lower-case letters, digits "
                "and '-', starting and ending with a letter or digit, for example gpt-125m."
            )

    @property
    def world_size(self) -> int:
        """Processes of the whole job."""
        return self.nodes * self.processes

    def training(self, run_file: str | None = None) -> str:
        """What follows ``towpath`` or ``torchrun … -m towpath`` in a shell."""
        return shlex.join(["train", run_file or self.run_file, *self.overrides])

    @property
    def file_name(self) -> str:
        """The last part of the run file's path."""
        return PurePosixPath(self.run_file).name


def torchrun(job: Job, rank: str, address: str) -> str:
    """One machine's command; ``rank`` and ``address`` are shell expressions."""
    return (
        f"torchrun --nnodes={job.nodes} --nproc-per-node={job.processes} --node-rank={rank} "
        f'--master-addr="{address}" --master-port={PORT} --max-restarts={job.max_restarts} -m towpath'
    )
