"""T5 recipes after Raffel et al. 2020, arXiv:1910.10683."""

from __future__ import annotations

from towpath.data.config import DataConfig
from towpath.data.sources.files import FilesSource
from towpath.model.encoder_decoder_config import T5Config
from towpath.recipes.run_config import RunConfig
from towpath.tokenizer.config import TokenizerConfig
from towpath.train.config import TrainConfig
from towpath.train.objectives.span_corruption import SpanCorruptionConfig


def t5_small() -> RunConfig:
    """T5 small (Raffel et al. 2020, sections 3.1.2 and 3.7), span corruption, on your own text.

    Batches are the paper's 2^16 tokens for 2^19 steps. It has Adafactor and an inverse square root
    schedule; here they are AdamW and cosine with warmup.
    """
    return RunConfig(
        name="t5-small",
        data=DataConfig(sources=(FilesSource(name="text", path="text"),)),
        tokenizer=TokenizerConfig(vocab_size=32_000),
        model=T5Config(n_positions=512, n_embd=512, n_layer=6, n_head=8, head_dim=64, n_inner=2048),
        train=TrainConfig(
            objective=SpanCorruptionConfig(),
            learning_rate=1e-3,
            weight_decay=0.0,
            batch_size=16,
            gradient_accumulation_steps=8,
            max_steps=524_288,
            warmup_steps=10_000,
        ),
    )
