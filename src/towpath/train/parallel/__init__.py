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


class ManyProcesses(ParallelConfig):
    """What every mode of several processes has."""

    lost_rank_seconds: float = Field(default=75.0, ge=1)
    """A process that shows no sign of life is named and the job ended within this time."""
