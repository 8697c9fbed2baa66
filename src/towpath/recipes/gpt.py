"""GPT recipes: the three pre-training stages of the specification's section 4.1.

Sizes of GPT-2 small and medium (Radford et al. 2019, table 2) and of GPT-3 XL (Brown et al. 2020,
arXiv:2005.14165, table 2.1), at the specification's 2,048 tokens of context. Tokens a step and
learning rate of the second and third stage are GPT-3's of that size. GPT-3 XL's row says 24 heads of
128 channels, which are not 2,048; here it has 16. All on your own text; change ``data.sources``.
"""

from __future__ import annotations

from towpath.core.config import change
from towpath.data.config import DataConfig
from towpath.data.sources.files import FilesSource
from towpath.model.config import GPT2Config
from towpath.recipes.run_config import RunConfig


def gpt_125m() -> RunConfig:
    """The specification's first stage: GPT-2 small at 2,048 tokens of context, on your own text."""
    return RunConfig(
        name="gpt-125m",
        data=DataConfig(sources=(FilesSource(name="text", path="text"),)),
        model=GPT2Config(vocab_size=50257, n_positions=2048, n_embd=768, n_layer=12, n_head=12, n_inner=3072),
    )


def gpt_350m() -> RunConfig:
    """The second stage: GPT-2 medium's size, GPT-3's learning rate and half a million tokens a step."""
    return change(
        gpt_125m(),
        {
            "name": "gpt-350m",
            "model.n_embd": 1024,
            "model.n_layer": 24,
            "model.n_head": 16,
            "model.n_inner": 4096,
            "train.learning_rate": 3e-4,
            "train.gradient_accumulation_steps": 64,
        },
    )


def gpt_1b() -> RunConfig:
    """The third stage: GPT-3 XL's size, a million tokens a step, activations computed again."""
    return change(
        gpt_350m(),
        {
            "name": "gpt-1b",
            "model.n_embd": 2048,
            "model.n_head": 16,
            "model.n_inner": 8192,
            "train.learning_rate": 2e-4,
            "train.gradient_accumulation_steps": 128,
            "train.gradient_checkpointing": True,
        },
    )
