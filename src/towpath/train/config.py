"""Settings of training: the specification's keys, and the choices that it leaves open.

Knows nothing of models or data; ``towpath.train.optimizer`` and ``towpath.train.schedule`` act on it.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from towpath.core.catalogue import Catalogue
from towpath.core.config import Execution, Section


class AdamWConfig(Section):
    """AdamW for every parameter (Loshchilov and Hutter 2019, arXiv:1711.05101)."""

    type: Literal["adamw"] = "adamw"


class MuonConfig(Section):
    """Muon for the matrices inside the blocks, AdamW for all else (Jordan et al. 2024)."""

    type: Literal["muon"] = "muon"
    learning_rate: float = Field(default=0.02, gt=0)
    """Peak learning rate of the matrices; the others keep ``train.learning_rate``."""
    momentum: float = Field(default=0.95, ge=0, lt=1)
    """Nesterov momentum of the matrices."""
    weight_decay: float = Field(default=0.0, ge=0)
    """Decoupled weight decay of the matrices, times their learning rate."""
    iterations: int = Field(default=5, ge=1, le=20)
    """Newton-Schulz iterations of one orthogonalisation."""


class CosineConfig(Section):
    """Warmup, then half a cosine down to ``final_ratio`` (Loshchilov and Hutter 2017, arXiv:1608.03983)."""

    type: Literal["cosine"] = "cosine"
    final_ratio: float = Field(default=0.1, ge=0, le=1)
    """Learning rate of the last step, as a share of the peak."""


class WarmupStableDecayConfig(Section):
    """Warmup, a long plateau, a linear decay (Hu et al. 2024, MiniCPM, arXiv:2404.06395, section 4)."""

    type: Literal["wsd"] = "wsd"
    decay_ratio: float = Field(default=0.4, ge=0, le=1)
    """Share of all steps that the final decay takes."""
    final_ratio: float = Field(default=0.0, ge=0, le=1)
    """Learning rate at the end of the decay, as a share of the peak."""


class LinearConfig(Section):
    """Warmup, then a straight line down to ``final_ratio``."""

    type: Literal["linear"] = "linear"
    final_ratio: float = Field(default=0.0, ge=0, le=1)
    """Learning rate of the last step, as a share of the peak."""


class ConstantConfig(Section):
    """Warmup, then the peak to the end."""

    type: Literal["constant"] = "constant"


OPTIMIZERS = Catalogue(
    "optimizer",
    {"adamw": f"{__name__}:AdamWConfig", "muon": f"{__name__}:MuonConfig"},
    group="towpath.optimizers",
)
SCHEDULES = Catalogue(
    "schedule",
    {
        "constant": f"{__name__}:ConstantConfig",
        "cosine": f"{__name__}:CosineConfig",
        "linear": f"{__name__}:LinearConfig",
        "wsd": f"{__name__}:WarmupStableDecayConfig",
    },
    group="towpath.schedules",
)


class TrainConfig(Section):
    """The table ``[train]``. One step is one optimizer update."""

    learning_rate: float = Field(default=6e-4, gt=0)
    """Peak learning rate of AdamW, reached at the end of warmup."""
    weight_decay: float = Field(default=0.1, ge=0)
    """Decoupled weight decay of AdamW, on matrices only."""
    beta1: float = Field(default=0.9, ge=0, lt=1)
    """Decay of AdamW's mean of gradients."""
    beta2: float = Field(default=0.95, ge=0, lt=1)
    """Decay of AdamW's mean of squared gradients."""
    epsilon: float = Field(default=1e-8, gt=0)
    """Added to the root of AdamW's second moment."""
    optimizer: Annotated[Section, OPTIMIZERS.choice("adamw")] = AdamWConfig()
    """How parameters are updated: adamw, or muon for the matrices."""
    schedule: Annotated[Section, SCHEDULES.choice("cosine")] = CosineConfig()
    """How the learning rate goes after warmup: cosine, wsd, linear or constant."""

    batch_size: int = Field(default=4, ge=1)
    """Sequences per device in one forward pass."""
    gradient_accumulation_steps: int = Field(default=32, ge=1)
    """Forward passes of one optimizer update."""
    max_steps: int = Field(default=100_000, ge=1)
    """Optimizer updates."""
    warmup_steps: int = Field(default=2000, ge=0)
    """Steps in which the learning rate rises from zero to its peak."""
    max_grad_norm: float = Field(default=1.0, gt=0)
    """The gradient is scaled down to this norm when it is longer."""
    max_bad_steps: int = Field(default=3, ge=0)
    """Steps in a row whose loss or gradient is not finite before training stops; none is ever applied."""

    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """Type of the matrix products; auto is fp32 on a CPU and bf16 on a GPU. fp16 scales the loss."""
    fp16: bool = False
    """The specification's key for precision = "fp16"."""
    gradient_checkpointing: Execution[bool] = False
    """Compute each block's activations again in the backward pass instead of keeping them."""
    compile: Execution[bool] = False
    """Run the model through torch.compile; its last bits differ from the eager model's."""

    save_steps: Execution[int] = Field(default=1000, ge=1)
    """Steps between checkpoints."""
    keep_checkpoints: Execution[int] = Field(default=2, ge=1)
    """Newest checkpoints that stay on disk."""
    eval_steps: Execution[int] = Field(default=500, ge=1)
    """Steps between validations; each also shows a sample of generated text."""
    log_steps: Execution[int] = Field(default=10, ge=1)
    """Steps between rows of the log."""
    sample_prompt: Execution[str] = "The "
    """What the sample at each validation continues."""

    dataloader_num_workers: Execution[int] = Field(default=1, ge=0)
    """Threads that prepare batches ahead; 0 prepares each when it is needed."""
    device: Execution[Literal["auto", "cpu", "cuda"]] = "auto"
    """Where to train; auto takes a GPU when there is one."""
    threads: Execution[int | None] = Field(default=None, ge=1)
    """CPU threads of matrix products; unset: torch's own choice. Another number changes the last bits."""

    @model_validator(mode="after")
    def _agree(self) -> TrainConfig:
        if self.warmup_steps >= self.max_steps and self.warmup_steps > 0:
            raise ValueError(
                f"warmup_steps = {self.warmup_steps} leaves no step at the peak of max_steps = "
                f"{self.max_steps}. Try warmup_steps = {self.max_steps // 10}."
            )
        if self.fp16 and self.precision not in ("auto", "fp16"):
            raise ValueError(f'fp16 = true contradicts precision = "{self.precision}". Remove one of them.')
        return self
