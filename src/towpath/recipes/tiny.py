"""The recipe ``tiny``: the whole path on real text in minutes, on two cores."""

from __future__ import annotations

from towpath.core.config import change
from towpath.data.config import DataConfig
from towpath.data.filters.gopher import GopherConfig
from towpath.data.filters.language import LanguageConfig
from towpath.data.filters.length import LengthConfig
from towpath.data.sources.chitchat import ChitchatSource
from towpath.data.sources.factbook import FactbookSource
from towpath.data.sources.files import FilesSource
from towpath.data.sources.python_stdlib import PythonStdlibSource
from towpath.evaluate.scores import EvaluateConfig
from towpath.model.config import GPT2Config, ModernConfig
from towpath.recipes.run_config import RunConfig
from towpath.tokenizer.config import TokenizerConfig
from towpath.train.config import TrainConfig
from towpath.train.optimizers.adamw import AdamWConfig
from towpath.train.optimizers.muon import MuonConfig
from towpath.train.schedules.cosine import CosineConfig
from towpath.train.schedules.wsd import WarmupStableDecayConfig
from towpath.tune.config import SFTConfig, TuneConfig


def tiny() -> RunConfig:
    """Chats, an encyclopedia and code; a small modern model trained with Muon; a chat model at the end."""
    return RunConfig(
        name="tiny",
        data=DataConfig(
            sources=(
                ChitchatSource(weight=0.6),
                FactbookSource(weight=0.2),
                PythonStdlibSource(weight=0.2),
            ),
            # Six tenths of an encyclopedia of figures are words with a letter; Gopher asks eight of prose.
            filters=(LengthConfig(), LanguageConfig(), GopherConfig(min_alphabetic_words=0.5)),
            validation_share=0.02,
        ),
        tokenizer=TokenizerConfig(vocab_size=4096),
        model=ModernConfig(
            n_positions=256, n_embd=192, n_layer=3, n_head=3, n_kv_head=1, tie_embeddings=False
        ),
        train=TrainConfig(
            learning_rate=3e-3,
            weight_decay=0.1,
            optimizer=MuonConfig(learning_rate=0.02),
            schedule=WarmupStableDecayConfig(decay_ratio=0.5),
            batch_size=16,
            gradient_accumulation_steps=1,
            max_steps=320,
            warmup_steps=10,
            save_steps=80,
            eval_steps=80,
            log_steps=5,
            sample_prompt="hello, how",
        ),
        evaluate=EvaluateConfig(training_tokens=8192),
        tune=TuneConfig(sft=SFTConfig(learning_rate=2e-3, batch_size=16, max_steps=100, num_epochs=1)),
    )


def tiny_baseline() -> RunConfig:
    """The data and size of ``tiny`` with nanoGPT's settings: GPT-2 layout, AdamW, cosine."""
    base = tiny()
    return base.model_copy(
        update={
            "name": "tiny-baseline",
            "model": GPT2Config(n_positions=256, n_embd=192, n_layer=3, n_head=3, dropout=0.0),
            "train": base.train.model_copy(
                update={
                    "learning_rate": 1e-3,
                    "optimizer": AdamWConfig(),
                    "schedule": CosineConfig(),
                }
            ),
        }
    )


def own_text() -> RunConfig:
    """``tiny`` on a folder of your own text; no chat model, since plain text has no turns."""
    own = FilesSource(name="own", path="my-text")
    return change(
        tiny(),
        {
            "name": "own-text",
            "data.sources": (own,),
            "data.filters": DataConfig().filters,
            "train.sample_prompt": "The ",
            "tune.sft": None,
        },
    )
