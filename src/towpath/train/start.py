"""What this machine and this job must have for a training to start, looked at before anything is made.

Data and tokenizer may take hours; what would end the training after them is refused first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from towpath.model.config import DecoderConfig
from towpath.train.config import TrainConfig
from towpath.train.evaluations import tasks_of
from towpath.train.objectives import check_fits

if TYPE_CHECKING:
    from towpath.model.config import TransformerConfig


def check_start(model: TransformerConfig, config: TrainConfig) -> None:
    """Refuse settings that this machine or this job can't train by.

    Raises:
        ConfigError: the objective or the attention's window does not fit the model or its context, or a
            task of an evaluation can't be found.
        DataError: a file that the curriculum needs can't be read.
        MissingPackageError: says which line installs it.
        TrainError: no such device, or not the processes that the settings need.
    """
    from towpath.train.precision import check_device

    check_fits(config.objective, model)
    config.objective.window_ids(model.n_positions)
    if isinstance(model, DecoderConfig):
        model.attention.check(model.n_positions)
    config.curriculum.check()
    tasks_of(config.evaluations, {})
    check_device(config)
    config.parallel.check_job(config, model)
