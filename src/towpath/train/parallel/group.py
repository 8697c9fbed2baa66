"""The processes of a job as one group: join it, add up, agree, act together or not at all.

Comes in: the variables RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT that torchrun, ``accelerate
launch`` and ``towpath launch`` set. Goes out: collectives over gloo on a CPU and NCCL on a GPU.
"""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Callable
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed import distributed_c10d

from towpath.core.errors import DiskFullError, TrainError
from towpath.core.processes import world_size

LONGEST_WAIT = timedelta(hours=6)
"""What a process waits for the others: a validation may take long. A lost one is the heartbeat's to find."""
_NEEDED = ("RANK", "MASTER_ADDR", "MASTER_PORT")
_DONE, _DISK_FULL, _FAILED = range(3)


class Group:
    """All processes of the job; every method is called by all of them at the same point."""

    def __init__(self, device: torch.device, mode: str) -> None:
        """Join, on ``device``; ``mode`` names the setting in messages.

        Raises:
            TrainError: this process was not started as one of a job.
        """
        if not dist.is_initialized():
            check_started(mode)
            on_gpu = device.type == "cuda"
            if on_gpu:
                torch.cuda.set_device(device)
            dist.init_process_group("cpu:gloo,cuda:nccl" if on_gpu else "gloo", timeout=LONGEST_WAIT)
        self.device = device
        self.rank = dist.get_rank()
        self.size = dist.get_world_size()

    def sum_(self, value: Tensor) -> Tensor:
        """``value``, in place, added up over all processes."""
        dist.all_reduce(value)
        return value

    def any(self, here: bool) -> bool:
        """Whether ``here`` is true in some process."""
        return self.largest(int(here)) > 0

    def largest(self, number: int) -> int:
        """The largest ``number`` of all processes."""
        value = torch.tensor(number, device=self.device)
        dist.all_reduce(value, dist.ReduceOp.MAX)
        return int(value.item())

    def gather(self, value: Tensor) -> list[Tensor]:
        """``value`` of every process, by rank; equal shapes."""
        values = [torch.empty_like(value) for _ in range(self.size)]
        dist.all_gather(values, value)
        return values

    def wait(self) -> None:
        """Until all processes are here."""
        self.largest(0)

    def together(self, action: Callable[[], None]) -> None:
        """Do ``action`` in every process; where one fails, all raise.

        Raises:
            DiskFullError: no room for one of them.
            TrainError: one of the others failed; it says why.
        """
        failure: Exception | None = None
        try:
            action()
        except Exception as error:
            failure = error
        worst = self.largest(_code(failure))
        if failure is not None:
            raise failure
        if worst == _DISK_FULL:
            raise DiskFullError(
                "Another process of this job has no space left; its message names the volume."
            )
        if worst == _FAILED:
            raise TrainError("Another process of this job failed; its message is above.")

    def first_alone(self, action: Callable[[], None]) -> None:
        """``together``, where only the first process has something to do."""
        self.together(action if self.rank == 0 else lambda: None)

    def close(self) -> None:
        """Leave: every process is done."""
        keep_groups_forever()
        dist.destroy_process_group()


def keep_groups_forever() -> None:
    """Never destroy what gloo holds: torch 2.13 can wait for ever in it, and a job then never ends.

    ``~ProcessGroupGloo`` joins its thread while it holds Python's lock, and that thread waits for the
    same lock to let go of the last collective's tensors. It hung in about every second job of DDP
    here, after training. What is never destroyed can't; the system takes it back at the end.
    """
    for group in distributed_c10d._world.pg_map:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(group))


def _code(failure: Exception | None) -> int:
    if failure is None:
        return _DONE
    no_room = isinstance(failure, OSError) and failure.errno in (errno.ENOSPC, errno.EDQUOT)
    return _DISK_FULL if no_room or isinstance(failure, DiskFullError) else _FAILED


def check_started(mode: str) -> None:
    """Refuse a process that was not started as one of a job; ``mode`` names the setting.

    Raises:
        TrainError: says how to start one.
    """
    missing = [name for name in _NEEDED if not os.environ.get(name)]
    if world_size() < 2 and missing:
        raise TrainError(
            f'train.parallel = "{mode}" needs processes that were started as one job, but '
            f"{', '.join(missing)} are not set. Start them with: towpath launch local -n 2 run.toml"
        )
