"""Settings of training: the specification's keys, and the choices that it leaves open.

Knows nothing of models or data. Optimizers and schedules are rooms of their own.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from towpath.core.config import Execution, Section
from towpath.train.curriculum import CURRICULA, CurriculumConfig
from towpath.train.curriculum.uniform import UniformConfig
from towpath.train.evaluations import EvaluationConfig
from towpath.train.extension import ExtensionConfig
from towpath.train.objectives import OBJECTIVES, ObjectiveConfig
from towpath.train.objectives.causal import CausalConfig
from towpath.train.optimizers import OPTIMIZERS, OptimizerConfig
from towpath.train.optimizers.adamw import AdamWConfig
from towpath.train.parallel import PARALLEL, ParallelConfig
from towpath.train.parallel.single import SingleConfig
from towpath.train.schedules import SCHEDULES, ScheduleConfig
from towpath.train.schedules.cosine import CosineConfig
from towpath.train.spikes import GuardConfig
from towpath.train.trackers import TRACKERS, TrackerConfig


class TrainConfig(Section):
    """The table ``[train]``. One step is one optimizer update."""

    objective: Annotated[ObjectiveConfig, OBJECTIVES.choice("causal")] = CausalConfig()
    """What is learned: causal, masked, span_corruption or prefix_lm; see which models each can train."""
    curriculum: Annotated[CurriculumConfig, CURRICULA.choice("uniform")] = UniformConfig()
    """In which order samples come in pre-training: uniform, difficulty, length or domains."""
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
    optimizer: Annotated[OptimizerConfig, OPTIMIZERS.choice("adamw")] = AdamWConfig()
    """How parameters are updated: adamw, adamw8bit, adafactor, or muon for the matrices."""
    schedule: Annotated[ScheduleConfig, SCHEDULES.choice("cosine")] = CosineConfig()
    """How the learning rate goes after warmup: cosine, wsd, linear or constant."""

    batch_size: int = Field(default=4, ge=1, le=2**20)
    """Sequences per device in one forward pass."""
    gradient_accumulation_steps: int = Field(default=32, ge=1, le=2**20)
    """Forward passes of one optimizer update."""
    max_steps: int = Field(default=100_000, ge=1)
    """Optimizer updates."""
    warmup_steps: int = Field(default=2000, ge=0)
    """Steps in which the learning rate rises from zero to its peak."""
    max_grad_norm: float = Field(default=1.0, gt=0)
    """The gradient is scaled down to this norm when it is longer."""
    max_bad_steps: int = Field(default=3, ge=0)
    """Steps in a row whose loss or gradient is not finite before training stops; none is ever applied."""
    extension: Execution[ExtensionConfig] = ExtensionConfig()
    """Training on at a longer context, after this one and as a checkpoint of its own."""
    guard: GuardConfig = GuardConfig()
    """What is called a spike of loss or gradient, and whether it is said, skipped or gone back from."""

    precision: Literal["auto", "fp32", "bf16", "fp16", "int8", "fp8"] = "auto"
    """Type of the matrix products; auto is fp32 on a CPU and bf16 on a GPU. fp16 scales the loss. int8
    and fp8 are for the products of the blocks' linear layers, forward and backward, and int8 for the logits
    of the training loss; it may cost loss: see docs/speed.md."""
    fp16: bool = False
    """The specification's key for precision = "fp16"."""
    gradient_checkpointing: Execution[bool | Literal["selective"]] = False
    """Compute each block's activations again in the backward pass instead of keeping them; "selective"
    keeps those of matrix products and attention, and costs little time."""
    activation_offload: Execution[bool] = False
    """Keep activations in the host's memory between forward and backward pass; slower, for GPUs."""
    auto_micro_batch: Execution[bool] = False
    """Out of memory: make the step again, and all after it, with half as many sequences in a forward pass
    and twice as many passes. A step holds the same; last bits of the weights differ. docs/stability.md"""
    lean_memory: Execution[bool] = False
    """Give freed memory back to the system at once, on a CPU with glibc: a smaller peak, slower steps."""
    parallel: Execution[Annotated[ParallelConfig, PARALLEL.choice("single")]] = SingleConfig()
    """How processes share a step: single, ddp, fsdp, context, tensor or deepspeed. Last bits differ alone."""
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
    source_loss_steps: Execution[int | None] = Field(default=None, ge=1)
    """Steps between rows with the training loss of each source: one forward pass; unset: never."""
    evaluations: Execution[list[EvaluationConfig]] = []
    """Tasks that look at the model in training, each after the save of its step; see docs/watching.md."""
    trackers: Execution[list[Annotated[TrackerConfig, TRACKERS.choice()]]] = []
    """Where figures are shown beside log.jsonl: wandb, tensorboard, mlflow, trackio or jsonl."""
    price_per_hour: Execution[float | None] = Field(default=None, ge=0)
    """What an hour of the machine costs, in any currency; the log then says what was spent."""
    sample_prompt: Execution[str] = "The "
    """What the sample at each validation continues."""

    dataloader_num_workers: Execution[int] = Field(default=1, ge=0)
    """Threads that prepare batches ahead; 0 prepares each when it is needed."""
    device: Execution[Literal["auto", "cpu", "cuda"]] = "auto"
    """Where to train; auto takes a GPU when there is one."""
    threads: Execution[int | None] = Field(default=None, ge=1, le=1024)
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
        if self.precision == "fp8" and self.device == "cpu":
            raise ValueError(
                'precision = "fp8" needs a GPU, and device = "cpu". Take precision = "auto" or "int8".'
            )
        self.parallel.check(self)
        return self
