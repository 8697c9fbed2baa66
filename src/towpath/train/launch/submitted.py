"""A job handed to Slurm from Python, by submitit (github.com/facebookincubator/submitit, 1.5).

Comes in: a ``Job``. Goes out: the submitit job, already queued; its folder keeps what every process
said. Each of Slurm's tasks starts one ``towpath train``. When Slurm is about to take the machines away
(submitit asks for SIGUSR2 to be told), training is told by SIGUSR1, saves and ends, and submitit
queues the job again; when a process was lost, it is queued again from here.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from towpath.core.errors import ConfigError, TrainError
from towpath.train.launch.job import NOTICE_SECONDS, PORT, Job
from towpath.train.launch.local import place
from towpath.train.launch.slurm import QUEUED_AGAIN, SAVED

if TYPE_CHECKING:
    from submitit import Job as SubmittedJob
    from submitit.helpers import DelayedSubmission

_LOOK_SECONDS = 0.2


@dataclass
class Training:
    """What every task of the job calls."""

    words: list[str]
    """The arguments of ``towpath``."""
    home: str
    max_restarts: int
    child: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def __call__(self) -> None:
        """Train to the end as the process that Slurm says this task is.

        Raises:
            TrainError: training ended otherwise, and another try would too.
            SystemExit: training will go on when the job's turn comes again.
        """
        from submitit import JobEnvironment

        task = JobEnvironment()
        port = PORT + int(task.raw_job_id) % 10_000
        variables = place(task.global_rank, task.num_tasks, port, task.hostnames[0])
        variables = {**variables, "LOCAL_RANK": str(task.local_rank), "TOWPATH_HOME": self.home}
        self.child = subprocess.Popen(
            [sys.executable, "-m", "towpath", *self.words],
            env=os.environ | variables,
            preexec_fn=_ignore_notice,
        )
        while (status := self.child.poll()) is None:
            time.sleep(_LOOK_SECONDS)
        if status:
            self._end(128 - status if status < 0 else status, task.raw_job_id)

    def checkpoint(self) -> DelayedSubmission:
        """Called by submitit in the first task when the job is to leave: ends when training has saved."""
        from submitit.helpers import DelayedSubmission

        if self.child is not None and self.child.returncode is None:
            self.child.send_signal(signal.SIGUSR1)
            os.waitid(os.P_PID, self.child.pid, os.WEXITED | os.WNOWAIT)  # the loop above takes its status
        return DelayedSubmission(Training(self.words, self.home, self.max_restarts))

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "child": None}

    def _end(self, status: int, job: str) -> None:
        restarts = int(os.environ.get("SLURM_RESTART_COUNT", "0"))
        if status not in QUEUED_AGAIN or restarts >= self.max_restarts:
            raise TrainError(
                f"towpath {' '.join(self.words)}: ended with status {status}; its message is above."
            )
        if status == SAVED:
            time.sleep(NOTICE_SECONDS)  # until the first task has queued the job again, which ends this one
        else:
            subprocess.run(["scontrol", "requeue", job], check=False)
        sys.exit(status)


def _ignore_notice() -> None:
    """Slurm tells every process of the job; training is told by ``checkpoint``, as it understands it."""
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)


def submit(job: Job, folder: Path) -> SubmittedJob[None]:
    """Queue ``job``; submitit's own files and all output lie in ``folder``, which all machines see.

    Raises:
        ConfigError: submitit or Slurm is not here.
    """
    try:
        from submitit import SlurmExecutor
    except ImportError as error:
        raise ConfigError(
            "--submit needs submitit, which is not installed. Install it with: pip install 'towpath[slurm]', "
            "or leave --submit out and hand the written file to sbatch."
        ) from error
    try:
        executor = SlurmExecutor(folder.resolve(), max_num_timeout=job.max_restarts)
    except RuntimeError as error:
        raise ConfigError("Slurm's srun is not on this machine. Submit from one of the cluster's.") from error
    gpus = {"gpus_per_node": job.processes} if job.gpus else {}
    executor.update_parameters(
        job_name=job.name,
        nodes=job.nodes,
        ntasks_per_node=job.processes,
        time=60 * job.hours,
        signal_delay_s=NOTICE_SECONDS,
        stderr_to_stdout=True,
        srun_args=["--kill-on-bad-exit=1"],
        additional_parameters={"requeue": True},
        **gpus,
    )
    words = ["train", job.run_file, *job.overrides]
    return executor.submit(Training(words, str(Path(job.home).resolve()), job.max_restarts))
