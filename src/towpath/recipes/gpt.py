"""GPT recipes after the specification."""

from __future__ import annotations

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
