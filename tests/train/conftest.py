"""Doubles for training: a model of a few thousand weights, and samples made from their index."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from towpath.core.config import change
from towpath.model.config import GPT2Config, ModernConfig, TransformerConfig
from towpath.model.encoder_config import BertConfig
from towpath.model.encoder_decoder_config import T5Config
from towpath.model.experts_config import BiasBalance, LossBalance, MoEConfig
from towpath.model.language_model import LanguageModel, build
from towpath.model.memory_config import RecurrentConfig
from towpath.tokenizer import ByteTokenizer
from towpath.train.batches import TokenBatches
from towpath.train.config import TrainConfig
from towpath.train.stage import Stage

VOCABULARY = 64
CONTEXT = 16
OBJECTIVES = {"bert": "masked", "t5": "span_corruption"}
"""What a kind of model is trained by here, where it is not causal."""
BALANCES = {"moe": LossBalance(), "moe-bias": BiasBalance(rate=0.002)}
"""Kinds of models with experts."""


class NumberedSamples:
    """Sample i: a pattern with noise, drawn from i alone."""

    def ids(self, index: int) -> np.ndarray:
        noise = np.random.default_rng(index)
        return (np.arange(CONTEXT + 1) * (1 + index % 3) + noise.integers(0, 3, CONTEXT + 1)) % VOCABULARY


def model_config(kind: str = "gpt2", dropout: float = 0.1) -> TransformerConfig:
    if kind in OBJECTIVES:  # room for bytes and special tokens, and for windows of CONTEXT + 1
        section = BertConfig if kind == "bert" else T5Config
        return section(
            vocab_size=384, n_positions=CONTEXT + 1, n_embd=32, n_layer=2, n_head=4, dropout=dropout
        )
    if kind == "modern":
        return ModernConfig(
            vocab_size=VOCABULARY, n_positions=CONTEXT, n_embd=32, n_layer=2, n_head=4, n_kv_head=2
        )
    if kind == "recurrent":
        return RecurrentConfig(
            vocab_size=VOCABULARY,
            n_positions=CONTEXT,
            segment_tokens=CONTEXT // 2,
            memory_tokens=CONTEXT // 2,
            n_embd=32,
            n_layer=2,
            n_head=4,
        )
    if kind in BALANCES:
        return MoEConfig(
            vocab_size=VOCABULARY,
            n_positions=CONTEXT,
            n_embd=32,
            n_layer=2,
            n_head=4,
            n_kv_head=2,
            n_inner=16,
            n_expert=4,
            balance=BALANCES[kind],
            z_loss=1e-3,
        )
    return GPT2Config(
        vocab_size=VOCABULARY, n_positions=CONTEXT, n_embd=32, n_layer=2, n_head=4, dropout=dropout
    )


def model(kind: str = "gpt2", dropout: float = 0.1) -> LanguageModel:
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
    objective = config.objective
    examples = objective.examples(objective.tokenizer(ByteTokenizer()), seed=7)
    return TokenBatches(
        NumberedSamples(), config.batch_size, config.gradient_accumulation_steps, examples=examples
    )


def stage(folder: Path, config: TrainConfig) -> Stage:
    folder.mkdir(parents=True, exist_ok=True)
    return Stage("train", folder, config, seed=7, batches=batches(config))


def weights(decoder: LanguageModel) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in decoder.named_parameters()}


def assert_same(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> None:
    assert left.keys() == right.keys()
    for name, value in left.items():
        assert torch.equal(value, right[name]), name


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)
