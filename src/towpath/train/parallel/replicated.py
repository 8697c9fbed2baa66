"""Data parallelism by ``torch.nn.parallel.DistributedDataParallel``.

Li et al. 2020, arXiv:2006.15704. Deviation: gradients are added and not averaged, since a step's
loss is already divided by all its targets. Every process makes the same update, so the optimizer is
that of one process, and so are the saves.
"""

# No "from __future__ import annotations": torch reads the annotations of the function below as types.
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import torch.distributed as dist
from torch import Tensor, nn
from torch.futures import Future
from torch.nn.parallel import DistributedDataParallel

from towpath.train.optimizer import build_optimizer
from towpath.train.parallel.ddp import DDPConfig
from towpath.train.parallel.grouped import Grouped

if TYPE_CHECKING:
    from towpath.model.language_model import LanguageModel


class Replicated(Grouped):
    """The whole model in every process."""

    def prepare(self, model: "LanguageModel") -> None:
        """See ``Strategy.prepare``."""
        settings = self.config.parallel
        assert isinstance(settings, DDPConfig)
        self.plain = model
        self.trained = DistributedDataParallel(
            self.in_training(model), bucket_cap_mb=settings.bucket_mb, gradient_as_bucket_view=True
        )
        self.trained.register_comm_hook(None, _added_up)
        self.optimizer = build_optimizer(model, self.config)

    def in_training(self, model: "LanguageModel") -> nn.Module:
        """What is called in training, before gradients are added up."""
        return model

    def micro_batch(self, *, last: bool) -> AbstractContextManager[Any]:
        """See ``Strategy.micro_batch``."""
        assert isinstance(self.trained, DistributedDataParallel)
        return nullcontext() if last else self.trained.no_sync()


def _added_up(state: None, bucket: dist.GradBucket) -> Future[Tensor]:  # pyright: ignore[reportPrivateImportUsage]
    """The sum over all processes of one bucket of gradients."""
    work = dist.all_reduce(bucket.buffer(), async_op=True)
    assert work is not None
    future: Future[Any] = work.get_future()
    return future.then(lambda done: done.value()[0])
