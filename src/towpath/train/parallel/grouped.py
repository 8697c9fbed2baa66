"""What all modes of several processes have in common."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from towpath.core.errors import TowpathError
from towpath.train.config import TrainConfig
from towpath.train.parallel import ManyProcesses
from towpath.train.parallel.group import Group
from towpath.train.parallel.heartbeat import Heartbeat, LostRankError
from towpath.train.parallel.share import check_divides
from towpath.train.parallel.strategy import Strategy
from towpath.train.precision import Precision
from towpath.train.saves import (
    Saved,
    TrainingState,
    newest_good_save,
    opened,
    random_state,
    save_checkpoint,
    save_folder,
    set_random_state,
)


class Grouped(Strategy):
    """Every process learns from other micro-batches; what is sent when is each mode's."""

    def __init__(self, config: TrainConfig, precision: Precision, settings: ManyProcesses) -> None:
        super().__init__(config, precision)
        self.group = Group(precision.device, settings.type)
        self.rank, self.world_size = self.group.rank, self.group.size
        self.data_rank, self.data_ranks = self._data_place()
        check_divides(config, self.data_ranks)
        self.heartbeat = Heartbeat(self.rank, self.world_size, settings.lost_rank_seconds)
        self.heartbeat.start()

    def _data_place(self) -> tuple[int, int]:
        """Which of how many shares of the micro-batches this process learns from."""
        return self.rank, self.world_size

    def _stream(self) -> int:
        """Which of the streams of dropout this process draws from: one for all that see the same tokens."""
        return self.data_rank

    def total(self, value: Tensor) -> Tensor:
        """See ``Strategy.total``."""
        return self.group.sum_(value)

    def any(self, here: bool) -> bool:
        """See ``Strategy.any``."""
        return self.group.any(here)

    def newest_save(self, folder: Path) -> Saved | None:
        """See ``Strategy.newest_save``: the first process looks at every byte, the others take its word."""
        step = -1

        def look() -> None:
            nonlocal step
            saved = newest_good_save(folder)
            step = saved.step if saved else -1

        self.group.first_alone(look)
        step = self.group.largest(step)
        return None if step < 0 else opened(save_folder(folder, step))

    def seed(self, seed: int, step: int) -> int:
        """See ``Strategy.seed``: another one in every process but the first at the start."""
        stream = self._stream()
        if stream == 0 and step == 0:
            return seed
        digest = hashlib.sha256(f"{seed}/{stream}/{step}".encode()).digest()
        return int.from_bytes(digest[:7])

    def random_states(self) -> dict[str, Tensor]:
        """See ``Strategy.random_states``: ``name`` of the first process, ``rank/name`` of the others."""
        states = {}
        for name, state in random_state(self.precision.device).items():
            for rank, of_rank in enumerate(self.group.gather(state)):
                states[f"{rank}/{name}" if rank else name] = of_rank
        return states

    def set_random_states(self, states: Mapping[str, Tensor], seed: int) -> None:
        """See ``Strategy.set_random_states``."""
        prefix = f"{self.rank}/" if self.rank else ""
        mine = {
            name.removeprefix(prefix): state
            for name, state in states.items()
            if name.startswith(prefix) and "/" not in name.removeprefix(prefix)
        }
        if mine:
            set_random_state(mine)
        else:
            torch.manual_seed(seed)

    def save(self, folder: Path, step: int, facts: Mapping[str, Any]) -> None:
        """See ``Strategy.save``: the first process writes whole tensors."""
        model, optimizer = self.whole_tensors()
        state = TrainingState(step, model, optimizer, self.random_states(), facts)
        self.group.first_alone(lambda: void(save_checkpoint(folder, state, self.config.keep_checkpoints)))

    def whole_tensors(self) -> tuple[Mapping[str, Tensor], Mapping[str, Tensor]]:
        """Weights and optimizer state in one piece, for the first process; the others may get less."""
        return dict(self.plain.named_parameters()), self.optimizer.tensors()

    def at(self, step: int) -> None:
        """See ``Strategy.at``."""
        self.heartbeat.step = step

    def explained(self, error: BaseException) -> BaseException:
        """See ``Strategy.explained``."""
        if isinstance(error, TowpathError) or not isinstance(error, RuntimeError):
            return error
        gone = self.heartbeat.gone()
        if gone is None:
            return error
        return LostRankError(
            f"train: rank {self.rank} ends the job. Lost is {gone}\n"
            "Start it again: it goes on from its last save."
        )

    def leave(self, error: BaseException | None) -> None:
        """See ``Strategy.leave``."""
        if error is not None:
            self.heartbeat.stop()
            return
        self.group.wait()  # nobody takes the silence of a process that is done for its loss
        self.heartbeat.stop()
        self.group.wait()
        self.group.close()


def void(value: object) -> None:
    """Nothing, whatever ``value`` is."""
