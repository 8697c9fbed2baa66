"""A batch script for Slurm: every task is one process; a job that loses its place is queued again.

Slurm sends SIGUSR1 two minutes before it takes the machines away; training answers with a save and
status 138, and the script asks for the job to be queued again. So it does when a process was lost.
"""

from __future__ import annotations

import shlex
import signal

from towpath.train.launch.job import NOTICE_SECONDS, PORT, Job
from towpath.train.launch.local import LOST

SAVED = 128 + signal.SIGUSR1
"""Status of a run that was told to leave, and saved."""
QUEUED_AGAIN = (SAVED, LOST, 128 + signal.SIGKILL)
"""Status of a run that will go on from its last save: told to leave, without another process, killed."""
TOLD_TO_END = 128 + signal.SIGTERM
"""Status of a task that srun ended because another was lost."""


def slurm_script(job: Job) -> str:
    """The text for ``sbatch``."""
    options = {
        "job-name": job.name,
        "nodes": job.nodes,
        "ntasks-per-node": job.processes,
        "time": f"{job.hours}:00:00",
        "signal": f"USR1@{NOTICE_SECONDS}",
        "output": f"{job.name}-%j.log",
        "open-mode": "append",
    }
    if job.gpus:
        options["gpus-per-node"] = job.processes
    lines = ["#!/bin/bash", *(f"#SBATCH --{name}={value}" for name, value in options.items())]
    return "\n".join([*lines, "#SBATCH --requeue", "", *_body(job)]) + "\n"


def _body(job: Job) -> list[str]:
    again = "|".join(str(status) for status in (*QUEUED_AGAIN, TOLD_TO_END))
    task = (
        "trap : USR1 TERM; "  # they are for training, which answers them
        'RANK="$SLURM_PROCID" LOCAL_RANK="$SLURM_LOCALID" WORLD_SIZE="$SLURM_NTASKS" '
        f"python -m towpath {job.training()}; status=$?; "
        f'case "$status" in 0|{again}) ;; *) touch "$FAILED" ;; esac; exit "$status"'
    )
    return [
        f"export TOWPATH_HOME={shlex.quote(job.home)}",
        'export MASTER_ADDR="$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)"',
        f'export MASTER_PORT="$(({PORT} + SLURM_JOB_ID % 10000))"',
        'export FAILED="$TOWPATH_HOME/slurm-$SLURM_JOB_ID.failed"  # there when a task failed by itself',
        "export SLURM_EXPORT_ENV=ALL",
        'mkdir -p "$TOWPATH_HOME"',
        'rm -f "$FAILED"',
        "trap '' USR1  # the tasks get it and save; this script waits for them",
        "",
        f"srun --kill-on-bad-exit=1 bash -c {shlex.quote(task)}",
        "status=$?  # the largest of all tasks: of those that srun ended too, once one was lost",
        "",
        f'case "$status" in {again})',
        f'  if [ ! -e "$FAILED" ] && [ "${{SLURM_RESTART_COUNT:-0}}" -lt {job.max_restarts} ]; then',
        '    scontrol requeue "$SLURM_JOB_ID"',
        "  fi ;;",
        "esac",
        'exit "$status"',
    ]
