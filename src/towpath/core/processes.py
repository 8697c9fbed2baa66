"""Which of a job's processes this is, from the variables that torchrun, accelerate and Slurm set.

A job of one process has rank 0 of 1. The first process prints, logs and writes; the others only
compute. Knows nothing of torch.
"""

from __future__ import annotations

import os


def rank() -> int:
    """Number of this process in its job, from 0."""
    return _number("RANK", "SLURM_PROCID", default=0) if world_size() > 1 else 0


def world_size() -> int:
    """Processes of the job."""
    return _number("WORLD_SIZE", default=1)


def local_rank() -> int:
    """Number of this process on its machine, from 0: the GPU that it takes."""
    return _number("LOCAL_RANK", "SLURM_LOCALID", default=0) if world_size() > 1 else 0


def is_first() -> bool:
    """Whether this process prints, logs and writes for its job."""
    return rank() == 0


def _number(*names: str, default: int) -> int:
    found = (os.environ[name] for name in names if os.environ.get(name))
    return int(next(found, default))
