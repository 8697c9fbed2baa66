"""Parallel modes: the named choices of ``train.parallel``.

Comes in: a model on one process, and the processes of the job. Goes out: a ``Strategy``, which says
what of a step is different when several processes share it: how the model is held, when gradients
are exchanged, how they are clipped, how states are saved and read. To add one: a module here with
its section, whose ``strategy`` makes it, and a line in ``PARALLEL``. Sections start no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from towpath.core.catalogue import Catalogue
from towpath.core.config import Section

if TYPE_CHECKING:
    from towpath.model.config import TransformerConfig
    from towpath.train.config import TrainConfig
    from towpath.train.parallel.strategy import Strategy
    from towpath.train.precision import Precision

PARALLEL = Catalogue(
    "parallel mode",
    {
        "single": "towpath.train.parallel.single:SingleConfig",
        "ddp": "towpath.train.parallel.ddp:DDPConfig",
        "fsdp": "towpath.train.parallel.fsdp:FSDPConfig",
        "context": "towpath.train.parallel.context:ContextConfig",
        "tensor": "towpath.train.parallel.tensor:TensorConfig",
        "deepspeed": "towpath.train.parallel.deepspeed:DeepSpeedConfig",
    },
    group="towpath.parallel",
)


class ParallelConfig(Section):
    """What every parallel mode's section has."""

    type: Any

    def strategy(self, train: TrainConfig, precision: Precision) -> Strategy:
        """Join the other processes of the job.

        Raises:
            TrainError: the job's processes and the settings do not fit.
        """
        raise NotImplementedError

    def check(self, train: TrainConfig) -> None:
        """Refuse settings of ``train`` that this mode can't have, on any machine.

        Raises:
            ValueError: with what works.
        """

    def check_model(self, model: TransformerConfig) -> None:
        """Refuse a model that this mode can't train, on any machine.

        Raises:
            ValueError: with what works.
        """

    def check_job(self, train: TrainConfig, model: TransformerConfig) -> None:
        """Refuse what this machine, or the number of its processes, can't do. Joins no job yet.

        Raises:
            MissingPackageError: says which line installs it.
            TrainError: with both numbers and one that works.
        """


def check_updates_parts(train: TrainConfig) -> None:
    """Refuse an optimizer that needs whole tensors where each process holds a part of them.

    Raises:
        ValueError: with what works.
    """
    if not train.optimizer.updates_parts:
        raise ValueError(
            f'optimizer.type = "{train.optimizer.type}" updates whole tensors, and parallel.type = '
            f'"{train.parallel.type}" cuts them up. Take parallel.type = "ddp", or optimizer.type = "adamw" '
            'or "muon".'
        )


class ManyProcesses(ParallelConfig):
    """What every mode of several processes has."""

    lost_rank_seconds: float = Field(default=75.0, ge=1)
    """A process that shows no sign of life is named and the job ended within this time."""

    def data_ranks(self, processes: int) -> int:
        """How many of ``processes`` learn from different micro-batches."""
        return processes

    def check_job(self, train: TrainConfig, model: TransformerConfig) -> None:
        """See ``ParallelConfig.check_job``."""
        from towpath.core.processes import world_size
        from towpath.train.parallel.group import check_started
        from towpath.train.parallel.share import check_divides

        check_started(self.type)
        check_divides(train, self.data_ranks(world_size()))
