"""Experts against a dense model of equal active compute: validation loss after the same text, same steps.

Both are three layers of 96 channels at 128 bytes of context, trained by Muon on Python's own sources and
documentation, byte by byte; a token of the experts' goes through 2 of 8 experts, each half as wide as the
dense layer. FLOPs a token differ by the router alone. CPU seconds of each are told: experts take more.

Two seeds. The row's ratio is the experts' loss over the dense one's (below 1: experts are better), means
of the seeds; every seed is printed.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

import torch
from torch import Tensor
from turns import arguments, print_row  # first: it sets the threads

from towpath.model.config import ModernConfig
from towpath.model.experts_config import MoEConfig
from towpath.model.int8 import use_int8_
from towpath.model.language_model import LanguageModel, build
from towpath.model.size import count_active_parameters, count_parameters, flops_per_token
from towpath.train.config import TrainConfig
from towpath.train.optimizer import build_optimizer
from towpath.train.optimizers.muon import MuonConfig
from towpath.train.schedule import Scheduler

CONTEXT, ROWS, SEEDS = 128, 16, (1, 2)
SIZE = {"vocab_size": 256, "n_positions": CONTEXT, "n_embd": 96, "n_layer": 3, "n_head": 3, "n_kv_head": 1}
DENSE = ModernConfig(**SIZE, n_inner=256, tie_embeddings=False)
EXPERTS = MoEConfig(**SIZE, n_inner=128, tie_embeddings=False)


def text() -> tuple[Tensor, Tensor]:
    """Bytes to learn from, and every tenth of Python's own modules held out."""
    modules = sorted(Path(json.__file__).parents[1].glob("*.py"))
    parts = ([path for number, path in enumerate(modules) if number % 10], modules[::10])
    learned, held_out = (b"".join(path.read_bytes() for path in part) for part in parts)
    return as_ids(learned), as_ids(held_out)


def as_ids(content: bytes) -> Tensor:
    """A token a byte."""
    return torch.frombuffer(bytearray(content), dtype=torch.uint8).long()


def windows(ids: Tensor, number: int, seed: int) -> Tensor:
    """Places of the text drawn from ``seed``, (number, CONTEXT + 1)."""
    starts = torch.randint(len(ids) - CONTEXT - 1, (number,), generator=torch.Generator().manual_seed(seed))
    return ids[starts.unsqueeze(1) + torch.arange(CONTEXT + 1)]


def trained(
    config: ModernConfig, learned: Tensor, steps: int, seed: int, *, in_int8: bool = False
) -> tuple[LanguageModel, float]:
    """The model after ``steps`` steps, and its CPU seconds."""
    model = build(config, seed).train()
    if in_int8:
        use_int8_(model)
    train = TrainConfig(
        learning_rate=3e-3, optimizer=MuonConfig(), max_steps=steps, warmup_steps=10, save_steps=steps
    )
    optimizer = build_optimizer(model, train)
    scheduler = Scheduler(optimizer, train)
    start = time.process_time()
    for step in range(steps):
        ids = windows(learned, ROWS, seed * 1_000_003 + step)
        loss = model(ids, ids).loss
        assert loss is not None
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        scheduler.step()
    return model.eval(), time.process_time() - start


@torch.no_grad()
def held_out_loss(model: LanguageModel, held_out: Tensor) -> float:
    """Nats a byte over 256 windows, the same for all."""
    ids = windows(held_out, 256, 0)
    return sum(float(model(part, part).loss or 0) for part in ids.split(32)) / 8


def main() -> None:
    parser = arguments(__doc__, rounds=0)
    parser.add_argument("--steps", type=int, default=200)
    options = parser.parse_args()
    learned, held_out = text()
    sides = {"dense": DENSE, "experts": EXPERTS}
    for name, config in sides.items():
        print(
            f"{name}: {count_parameters(config):,} weights, {count_active_parameters(config):,} active, "
            f"{flops_per_token(config):,} FLOPs a token in training"
        )
    losses: dict[str, list[float]] = {name: [] for name in sides}
    for seed in SEEDS:
        for name, config in sides.items():
            model, seconds = trained(config, learned, options.steps, seed)
            losses[name].append(held_out_loss(model, held_out))
            print(f"seed {seed}, {name}: {losses[name][-1]:.4f} nats a byte, {seconds:.1f} CPU s", flush=True)
    dense, experts = (sum(values) / len(values) for values in losses.values())
    print_row(
        "experts at equal active compute",
        (experts, dense),
        f"nats a byte after {options.steps} steps of {ROWS * CONTEXT:,} bytes, mean of {len(SEEDS)} seeds; "
        "peer: dense",
    )


if __name__ == "__main__":
    main()
