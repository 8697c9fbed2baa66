"""A few real training steps in this process, with their time and memory: what a plan is held against.

    python -m towpath.plan.measure '{"model": {"type": "gpt2", …}, "train": {…}, "steps": 3}'

prints one line of JSON. Every step after the first is timed; the first also makes the optimizer's
state and takes memory from the system.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import torch
from pydantic import TypeAdapter

from towpath.core.metrics import peak_memory_bytes
from towpath.model.config import DecoderConfig, ModelConfig
from towpath.train.batches import Batch
from towpath.train.config import TrainConfig
from towpath.train.loop import accumulate
from towpath.train.parallel.strategy import Strategy
from towpath.train.precision import choose_precision


def measure(model_config: Any, train: TrainConfig, steps: int) -> dict[str, Any]:
    """Seconds of each step (of the processor with one thread, else of the clock) and peak memory."""
    from towpath.model.language_model import build

    strategy = Strategy(train, choose_precision(train))
    model = build(model_config, seed=0)
    model.gradient_checkpointing = train.gradient_checkpointing
    strategy.prepare(model)  # pyright: ignore[reportArgumentType]
    model.train()
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    seconds = []
    for step in range(steps):
        batch = _batch(model_config, train, step)
        start = clock()
        accumulate(strategy.trained, batch, strategy)
        strategy.clip(strategy.optimizer)
        strategy.optimizer.step()
        strategy.optimizer.zero_grad(set_to_none=True)
        seconds.append(clock() - start)
    return {
        "seconds": seconds,
        "peak_bytes": peak_memory_bytes(),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
    }


def _batch(model_config: Any, train: TrainConfig, step: int) -> Batch:
    """Random tokens, as many as training's."""
    vocabulary: int = model_config.vocab_size
    extra = 1 if isinstance(model_config, DecoderConfig) else 0
    shape = (train.batch_size, model_config.n_positions + extra)
    draw = torch.Generator().manual_seed(step)
    micro_batches = []
    for _ in range(train.gradient_accumulation_steps):
        ids = torch.randint(0, vocabulary, shape, generator=draw)
        micro_batches.append({"input_ids": ids, "labels": ids})
    targets = train.batch_size * model_config.n_positions * train.gradient_accumulation_steps
    return Batch(micro_batches, targets)


def main() -> None:
    """Measure what the first argument describes."""
    asked = json.loads(sys.argv[1])
    model_config = TypeAdapter(ModelConfig).validate_python(asked["model"])
    print(json.dumps(measure(model_config, TrainConfig.model_validate(asked["train"]), asked["steps"])))


if __name__ == "__main__":
    main()
