"""``towpath launch local|slurm|skypilot|kubernetes RUN``: training as a job of several processes."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from towpath.recipes.run_config import RunConfig
    from towpath.train.launch.job import Job

ACTIONS = {
    "local": "on this machine, watched, and started again when a process is lost",
    "slurm": "write a batch script for sbatch",
    "skypilot": "write a task file for sky launch",
    "kubernetes": "write an indexed Job for kubectl apply",
}
FILES = {"slurm": "{}.sbatch", "skypilot": "{}.sky.yaml", "kubernetes": "{}.k8s.yaml"}
MODE = "train.parallel.type=ddp"
"""What a run file that names no mode is trained with."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The actions and their arguments."""
    from towpath.cli.inputs import add_run_file

    group = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    for name, summary in ACTIONS.items():
        action = group.add_parser(name, help=summary, description=summary[0].upper() + summary[1:] + ".")
        add_run_file(action)
        action.add_argument("-n", "--processes", type=int, default=1, metavar="N", help="on each machine")
        action.add_argument("--max-restarts", type=int, default=3, metavar="N", help="3 when left out")
        action.add_argument("--dry-run", action="store_true", help="print what would be run or written")
        if name != "local":
            _add_cluster(action)
        if name == "slurm":
            action.add_argument("--submit", action="store_true", help="queue it now, by submitit")


def _add_cluster(action: argparse.ArgumentParser) -> None:
    action.add_argument("--nodes", type=int, default=1, metavar="N", help="machines")
    action.add_argument("--gpus", metavar="KIND", help="for example A100; CPUs when left out")
    action.add_argument("--hours", type=int, default=24, metavar="N", help="at most; 24 when left out")
    action.add_argument("--name", help="of the job; the run's when left out")
    action.add_argument("--image", default="towpath:latest", help="container image (kubernetes)")
    action.add_argument(
        "--home",
        metavar="FOLDER",
        help="artifacts and runs, seen by all machines; work when left out, on Slurm $TOWPATH_HOME",
    )
    action.add_argument("--into", type=Path, metavar="FILE", help="where the file is written")


def run(options: argparse.Namespace) -> int:
    """Start the job, or write its file."""
    from towpath.cli.inputs import read_run_file

    config = read_run_file(options).config
    if config.train.parallel.type == "single" and options.processes * getattr(options, "nodes", 1) > 1:
        options.overrides = [*options.overrides, MODE]
        config = read_run_file(options).config
    _check(options, config)
    return _local(options) if options.action == "local" else _write(options, config)


def _check(options: argparse.Namespace, config: RunConfig) -> None:
    """Refuse now what every process would refuse later."""
    from towpath.core.errors import ConfigError
    from towpath.train.parallel.share import check_divides

    nodes = getattr(options, "nodes", 1)
    if nodes < 1:
        raise ConfigError(f"{nodes} machines can't train. Give at least --nodes 1.")
    if options.processes < 1:
        raise ConfigError(f"{options.processes} processes can't train. Give at least -n 1.")
    ranks = options.processes * nodes
    if config.train.parallel.type not in ("tensor", "context"):
        check_divides(config.train, ranks)


def _local(options: argparse.Namespace) -> int:
    from towpath.train.launch.local import supervise

    command = [sys.executable, "-m", "towpath", "train", options.run_file, *options.overrides]
    if options.dry_run:
        print(f"{options.processes} × {' '.join(command)}")
        return 0
    return supervise(command, options.processes, options.max_restarts)


def _write(options: argparse.Namespace, config: RunConfig) -> int:
    from towpath.core.files import write_durably

    job = _job(options, config)
    if getattr(options, "submit", False) and not options.dry_run:
        return _submit(options, job)
    text = _text(options.action, job, config)
    if options.dry_run:
        print(text, end="")
        return 0
    path = options.into or Path(FILES[options.action].format(job.name))
    write_durably(path, text.encode())
    start = {"slurm": "sbatch", "skypilot": "sky jobs launch", "kubernetes": "kubectl apply -f"}[
        options.action
    ]
    print(f"Job file is in {path}\nStart it: {start} {path}")
    return 0


def _submit(options: argparse.Namespace, job: Job) -> int:
    from towpath.train.launch.submitted import submit

    folder = options.into or Path(f"{job.name}-slurm")
    number = submit(job, folder).job_id
    print(f"Queued as job {number}; what its processes say is in {folder}\nStop it: scancel {number}")
    return 0


def _job(options: argparse.Namespace, config: RunConfig) -> Job:
    from towpath.core.runs import home_folder
    from towpath.train.launch.job import Job

    home = home_folder() if options.action == "slurm" else "work"
    return Job(
        name=options.name or config.name,
        run_file=options.run_file,
        overrides=options.overrides,
        nodes=options.nodes,
        processes=options.processes,
        gpus=options.gpus,
        hours=options.hours,
        max_restarts=options.max_restarts,
        image=options.image,
        home=options.home or str(home),
    )


def _text(kind: str, job: Job, config: RunConfig) -> str:
    from towpath.core.runfile import to_toml
    from towpath.train.launch.kubernetes import kubernetes_job
    from towpath.train.launch.skypilot import skypilot_task
    from towpath.train.launch.slurm import slurm_script

    if kind == "kubernetes":
        return kubernetes_job(job, to_toml(config))
    return slurm_script(job) if kind == "slurm" else skypilot_task(job)
