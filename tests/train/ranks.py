"""Jobs of several processes for tests: forked, so that torch is loaded once, joined over gloo."""

from __future__ import annotations

import os
import socket
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NoReturn

from tests.train.conftest import model, stage, weights
from towpath.core.errors import TowpathError
from towpath.train.config import TrainConfig
from towpath.train.stage import run_stage


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def start(work: Callable[[int], None], ranks: int, **environment: str) -> list[int]:
    """Fork ``ranks`` processes that each do ``work(rank)``. Returns their ids."""
    port = str(free_port())
    children = []
    for rank in range(ranks):
        child = os.fork()
        if child == 0:
            job = {"RANK": str(rank), "WORLD_SIZE": str(ranks), "LOCAL_RANK": str(rank)}
            os.environ |= {**job, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, **environment}
            _end_after(lambda rank=rank: work(rank))
        children.append(child)
    return children


def _end_after(work: Callable[[], None]) -> NoReturn:
    """Do ``work`` and end as Python would."""
    code = 1
    try:
        work()
        code = 0
    except TowpathError as error:
        print(error, file=sys.stderr)
        code = error.exit_code
    except BaseException as error:
        traceback.print_exc()
        code = getattr(error, "exit_code", 1)
    sys.stderr.flush()
    sys.stdout.flush()
    os._exit(code)


class Forked:
    """What a supervisor asks of ``subprocess.Popen``, without loading torch anew in every process."""

    def __init__(
        self, work: Callable[[], None], *, env: Mapping[str, str], preexec_fn: Callable[[], None]
    ) -> None:
        self.status: int | None = None
        self.child = os.fork()
        if self.child == 0:
            preexec_fn()
            os.environ |= env
            _end_after(work)

    def poll(self) -> int | None:
        return self._status(os.WNOHANG)

    def wait(self) -> int | None:
        return self._status(0)

    def send_signal(self, number: int) -> None:
        os.kill(self.child, number)

    def _status(self, options: int) -> int | None:
        if self.status is None:
            done, status = os.waitpid(self.child, options)
            self.status = os.waitstatus_to_exitcode(status) if done else None
        return self.status


def ended(children: list[int]) -> list[int]:
    """The exit status of each; minus the signal for one that was killed."""
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]


def train(
    folder: Path, config: TrainConfig, ranks: int, kind: str = "gpt2", dropout: float = 0.0
) -> list[int]:
    """Run the stage in ``folder`` in ``ranks`` processes; the first writes ``weights.safetensors``."""
    folder.mkdir(parents=True, exist_ok=True)

    def work(rank: int) -> None:
        import torch
        from safetensors.torch import save_file

        torch.set_num_threads(1)
        decoder = model(kind, dropout)
        run_stage(stage(folder, config), decoder)
        if rank == 0:
            save_file(weights(decoder), folder / "weights.safetensors")

    return ended(start(work, ranks))


def final_weights(folder: Path) -> Mapping[str, object]:
    from safetensors.torch import load_file

    return load_file(folder / "weights.safetensors")
