"""BERT recipes after Devlin et al. 2019, arXiv:1810.04805."""

from __future__ import annotations

from towpath.data.config import DataConfig
from towpath.data.sources.files import FilesSource
from towpath.model.encoder_config import BertConfig
from towpath.recipes.run_config import RunConfig
from towpath.tokenizer.config import TokenizerConfig
from towpath.train.config import TrainConfig
from towpath.train.objectives.masked import MaskedConfig
from towpath.train.schedules.linear import LinearConfig


def bert_base() -> RunConfig:
    """BERT base (Devlin et al. 2019, section 3 and appendix A.2), whole words hidden, on your own text."""
    return RunConfig(
        name="bert-base",
        data=DataConfig(sources=(FilesSource(name="text", path="text"),)),
        tokenizer=TokenizerConfig(vocab_size=30_000),
        model=BertConfig(n_positions=512, n_embd=768, n_layer=12, n_head=12, n_inner=3072),
        train=TrainConfig(
            objective=MaskedConfig(),
            learning_rate=1e-4,
            weight_decay=0.01,
            beta2=0.999,
            epsilon=1e-6,
            schedule=LinearConfig(),
            batch_size=16,
            gradient_accumulation_steps=16,
            max_steps=1_000_000,
            warmup_steps=10_000,
        ),
    )
