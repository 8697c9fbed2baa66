"""Settings of fine-tuning, with the specification's keys."""

from __future__ import annotations

import math

from pydantic import Field

from towpath.core.config import Execution, Section
from towpath.tokenizer import ChatTemplate
from towpath.train.config import TrainConfig
from towpath.train.schedules.linear import LinearConfig


class SFTConfig(Section):
    """The table ``[tune.sft]``: supervised fine-tuning on conversations."""

    learning_rate: float = Field(default=5e-5, gt=0)
    """Peak learning rate."""
    weight_decay: float = Field(default=0.0, ge=0)
    """Decoupled weight decay, on matrices only."""
    batch_size: int = Field(default=8, ge=1)
    """Conversations of one optimizer update."""
    max_length: int = Field(default=2048, ge=8)
    """Most tokens of one example; the model's context limits it further. Longer chats are split by turns."""
    num_epochs: float = Field(default=3, gt=0)
    """Times that each conversation is seen."""
    max_steps: int | None = Field(default=None, ge=1)
    """Most optimizer updates; unset: as many as ``num_epochs`` takes."""
    warmup_ratio: float = Field(default=0.1, ge=0, lt=1)
    """Share of the steps in which the learning rate rises to its peak; then it falls linearly to 0."""
    max_grad_norm: float = Field(default=1.0, gt=0)
    """The gradient is scaled down to this norm when it is longer."""
    sources: tuple[str, ...] | None = None
    """Sources whose conversations are used; unset: every source that has some."""
    template: ChatTemplate = ChatTemplate()
    """What stands around each turn; stored with the checkpoint, and the server uses the same."""
    save_steps: Execution[int] = Field(default=200, ge=1)
    """Steps between checkpoints."""
    eval_steps: Execution[int] = Field(default=100, ge=1)
    """Steps between validations; each also shows a reply."""
    validation_examples: Execution[int] = Field(default=64, ge=1)
    """Held-out examples of a validation."""

    def steps(self, examples: int) -> int:
        """Optimizer updates on a set of ``examples`` examples."""
        whole = max(1, math.ceil(examples * self.num_epochs / self.batch_size))
        return whole if self.max_steps is None else min(whole, self.max_steps)

    def train_config(self, examples: int, base: TrainConfig) -> TrainConfig:
        """The settings of the training loop; device, precision and threads are those of ``base``."""
        steps = self.steps(examples)
        return TrainConfig(
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            schedule=LinearConfig(),
            batch_size=self.batch_size,
            gradient_accumulation_steps=1,
            max_steps=steps,
            warmup_steps=min(int(steps * self.warmup_ratio), steps - 1),
            max_grad_norm=self.max_grad_norm,
            save_steps=self.save_steps,
            eval_steps=self.eval_steps,
            precision=base.precision,
            fp16=base.fp16,
            gradient_checkpointing=base.gradient_checkpointing,
            dataloader_num_workers=base.dataloader_num_workers,
            device=base.device,
            threads=base.threads,
        )


class TuneConfig(Section):
    """The table ``[tune]``."""

    sft: SFTConfig | None = None
    """Supervised fine-tuning; absent: the pre-trained model is the last one."""
