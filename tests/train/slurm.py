"""A Slurm of one machine for tests: its controller and its daemon, as root, everything in one folder."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.train.ranks import free_port

CONFIGURATION = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={daemon}
SlurmUser=root
SlurmdUser=root
AuthType=auth/none
CredType=cred/none
AuthInfo=cred_expire=6
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/controller.pid
SlurmdPidFile={folder}/daemon.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SwitchType=switch/none
SelectType=select/linear
SchedulerType=sched/builtin
SchedulerParameters=sched_interval=1
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
ReturnToService=2
KillWait=2
SlurmdParameters=config_overrides
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 State=UNKNOWN
PartitionName=all Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""
"""A job that is queued again waits ``cred_expire`` seconds: 120 by default, 6 at least."""
START_SECONDS = 20


def missing() -> str | None:
    """What a Slurm needs and is not here."""
    absent = [name for name in ("slurmctld", "slurmd", "sbatch", "srun") if not shutil.which(name)]
    if absent:
        return f"{', '.join(absent)} not installed (Debian: slurm-wlm)"
    return None if os.geteuid() == 0 else "slurmd needs root"


@contextmanager
def running(folder: Path) -> Iterator[Path]:
    """A Slurm with an idle machine of two CPUs. Gives the path for SLURM_CONF."""
    host = socket.gethostname().partition(".")[0]
    for name in ("state", "spool"):
        (folder / name).mkdir(parents=True)
    configuration = folder / "slurm.conf"
    ports = {"controller": free_port(), "daemon": free_port()}
    configuration.write_text(CONFIGURATION.format(host=host, folder=folder, **ports))
    environment = {**os.environ, "SLURM_CONF": str(configuration)}
    daemons = [
        subprocess.Popen([name, "-D"], env=environment, stdout=log, stderr=subprocess.STDOUT)
        for name in ("slurmctld", "slurmd")
        for log in [(folder / f"{name}.log").open("wb")]
    ]
    try:
        _wait_until_idle(folder, environment)
        yield configuration
    finally:
        subprocess.run(["scancel", "--user=root"], env=environment, check=False, timeout=20)
        for daemon in reversed(daemons):
            daemon.terminate()
            daemon.wait(20)


def _wait_until_idle(folder: Path, environment: dict[str, str]) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        asked = subprocess.run(
            ["sinfo", "--noheader", "--format=%T"], env=environment, capture_output=True, check=False
        )
        if asked.stdout.strip() == b"idle":
            return
        time.sleep(0.1)
    logs = "\n".join(path.read_text(errors="replace") for path in folder.glob("*.log"))
    raise TimeoutError(f"no machine of this Slurm is idle after {START_SECONDS} s:\n{logs}")
