"""ZeRO through DeepSpeed: its section, and DeepSpeed's own configuration as ``[train]`` means it.

Rajbhandari et al. 2020, arXiv:1910.02054; see ``zero``. ``deepspeed_config`` gives the
specification's block, so it can't disagree with ``[train]``.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from towpath.core.errors import MissingPackageError
from towpath.train.parallel import ManyProcesses

if TYPE_CHECKING:
    from towpath.model.config import TransformerConfig
    from towpath.train.config import TrainConfig
    from towpath.train.parallel.strategy import Strategy
    from towpath.train.precision import Precision


class DeepSpeedConfig(ManyProcesses):
    """ZeRO (Rajbhandari et al. 2020, arXiv:1910.02054) by DeepSpeed, which is installed apart."""

    type: Literal["deepspeed"] = "deepspeed"
    zero_stage: Literal[1, 2, 3] = 2
    """What each process holds a part of: 1 optimizer state, 2 gradients too, 3 weights too."""
    bucket_size: int = Field(default=200_000_000, ge=1)
    """Elements that are sent at once."""
    offload_optimizer: bool = False
    """Keep optimizer state in the host's memory; needs a GPU to make sense."""

    def strategy(self, train: TrainConfig, precision: Precision) -> Strategy:
        """See ``ParallelConfig.strategy``."""
        from towpath.train.parallel.zero import Zero

        return Zero(train, precision, self)

    def check(self, train: TrainConfig) -> None:
        """See ``ParallelConfig.check``."""
        if train.optimizer.type != "adamw":
            raise ValueError(
                f'optimizer.type = "{train.optimizer.type}" is not for parallel.type = "deepspeed": ZeRO '
                'cuts all matrices into one flat row and updates it by AdamW. Take parallel.type = "fsdp" or '
                '"ddp", or optimizer.type = "adamw".'
            )
        if self.offload_optimizer and train.device == "cpu":
            raise ValueError(
                'parallel.offload_optimizer = true moves tensors from a GPU to the host, and device = "cpu". '
                "Set parallel.offload_optimizer = false."
            )

    def check_model(self, model: TransformerConfig) -> None:
        """See ``ParallelConfig.check_model``."""
        if getattr(getattr(model, "balance", None), "bias_rate", 0):
            raise ValueError(
                'model.balance.type = "bias" is moved by a rule of its own, but train.parallel.type = '
                '"deepspeed" takes one optimizer for all. Set model.balance.type = "loss", or '
                'train.parallel.type = "fsdp".'
            )

    def check_job(self, train: TrainConfig, model: TransformerConfig) -> None:
        """See ``ParallelConfig.check_job``."""
        if find_spec("deepspeed") is None:
            raise MissingPackageError(
                'deepspeed is not installed; train.parallel.type = "deepspeed" needs it. Install it with: '
                "pip install deepspeed"
            )
        super().check_job(train, model)


def deepspeed_config(train: TrainConfig) -> dict[str, Any]:
    """DeepSpeed's configuration of ``train``: the specification's block (section 3.2), key by key.

    DeepSpeed's scheduler is the warmup alone; ``train.schedule`` goes on from there, since in a run
    of towpath optimizer and learning rate are its own (``engine_config``).
    """
    settings = train.parallel if isinstance(train.parallel, DeepSpeedConfig) else DeepSpeedConfig()
    return {
        "zero_optimization": {
            "stage": settings.zero_stage,
            "allgather_partitions": True,
            "allgather_bucket_size": settings.bucket_size,
            "reduce_scatter": True,
            "reduce_bucket_size": settings.bucket_size,
            "overlap_comm": True,
            "contiguous_gradients": True,
        },
        "fp16": {
            "enabled": train.fp16 or train.precision == "fp16",
            "loss_scale": 0,
            "loss_scale_window": 1000,
            "hysteresis": 2,
            "min_loss_scale": 1,
        },
        "optimizer": {
            "type": "AdamW",
            "params": {
                "lr": train.learning_rate,
                "betas": [train.beta1, train.beta2],
                "eps": train.epsilon,
                "weight_decay": train.weight_decay,
            },
        },
        "scheduler": {
            "type": "WarmupLR",
            "params": {
                "warmup_min_lr": 0,
                "warmup_max_lr": train.learning_rate,
                "warmup_num_steps": train.warmup_steps,
            },
        },
    }


def engine_config(train: TrainConfig, precision_name: str, processes: int) -> dict[str, Any]:
    """What DeepSpeed's engine is given: the block without optimizer and scheduler, which it gets made."""
    block = deepspeed_config(train)
    zero = dict(block["zero_optimization"])
    settings = train.parallel
    if isinstance(settings, DeepSpeedConfig) and settings.offload_optimizer:
        zero["offload_optimizer"] = {"device": "cpu"}
    return {
        "zero_optimization": zero,
        "fp16": {**block["fp16"], "enabled": precision_name == "fp16"},
        "bf16": {"enabled": precision_name == "bf16"},
        "train_micro_batch_size_per_gpu": train.batch_size,
        "gradient_accumulation_steps": train.gradient_accumulation_steps // processes,
        "gradient_clipping": train.max_grad_norm,
        "zero_allow_untested_optimizer": True,
        "zero_force_ds_cpu_optimizer": False,
        "steps_per_print": 1_000_000_000,
    }
