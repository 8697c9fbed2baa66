"""Doubles for training: a model of a few thousand weights, and samples made from their index."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from towpath.core.config import change
from towpath.model.config import DecoderConfig, GPT2Config, ModernConfig
from towpath.model.decoder import Decoder, build
from towpath.train.batches import TokenBatches
from towpath.train.config import TrainConfig
from towpath.train.stage import Stage

VOCABULARY = 64
CONTEXT = 16


class NumberedSamples:
    """Sample i: a pattern with noise, drawn from i alone."""

    def ids(self, index: int) -> np.ndarray:
        noise = np.random.default_rng(index)
        return (np.arange(CONTEXT + 1) * (1 + index % 3) + noise.integers(0, 3, CONTEXT + 1)) % VOCABULARY


def model_config(kind: str = "gpt2", dropout: float = 0.1) -> DecoderConfig:
    if kind == "modern":
        return ModernConfig(
            vocab_size=VOCABULARY, n_positions=CONTEXT, n_embd=32, n_layer=2, n_head=4, n_kv_head=2
        )
    return GPT2Config(
        vocab_size=VOCABULARY, n_positions=CONTEXT, n_embd=32, n_layer=2, n_head=4, dropout=dropout
    )


def model(kind: str = "gpt2", dropout: float = 0.1) -> Decoder:
    return build(model_config(kind, dropout), seed=1)


def train_config(**changes: object) -> TrainConfig:
    base = TrainConfig(
        learning_rate=3e-3,
        batch_size=4,
        gradient_accumulation_steps=2,
        max_steps=12,
        warmup_steps=2,
        save_steps=4,
        eval_steps=6,
        log_steps=1,
        dataloader_num_workers=0,
        threads=1,
    )
    return change(base, changes)


def batches(config: TrainConfig) -> TokenBatches:
    return TokenBatches(NumberedSamples(), config.batch_size, config.gradient_accumulation_steps)


def stage(folder: Path, config: TrainConfig) -> Stage:
    folder.mkdir(parents=True, exist_ok=True)
    return Stage("train", folder, config, seed=7, batches=batches(config))


def weights(decoder: Decoder) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in decoder.named_parameters()}


def assert_same(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> None:
    assert left.keys() == right.keys()
    for name, value in left.items():
        assert torch.equal(value, right[name]), name


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)
