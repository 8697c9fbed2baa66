"""Recipes with experts, in the layout of Qwen3-MoE."""

from __future__ import annotations

from towpath.core.config import change
from towpath.data.config import DataConfig
from towpath.data.sources.files import FilesSource
from towpath.model.experts_config import LossBalance, MoEConfig
from towpath.recipes.run_config import RunConfig
from towpath.recipes.tiny import tiny
from towpath.train.config import TrainConfig
from towpath.train.optimizers.muon import MuonConfig


def moe_tiny() -> RunConfig:
    """The recipe tiny with 8 experts a layer, of which a token takes 2: as much compute, more weights."""
    base = tiny()
    model = {
        name: getattr(base.model, name)
        for name in ("n_positions", "n_embd", "n_layer", "n_head", "n_kv_head", "tie_embeddings")
    }
    return change(base, {"name": "moe-tiny", "model": MoEConfig(**model)})


def moe_gpt() -> RunConfig:
    """GPT-2 small's width and depth with 64 experts a layer, of which a token takes 8; on your own text."""
    return RunConfig(
        name="moe-gpt",
        data=DataConfig(sources=(FilesSource(name="text", path="text"),)),
        model=MoEConfig(
            vocab_size=50304,
            n_positions=2048,
            n_embd=768,
            n_layer=12,
            n_head=12,
            n_kv_head=4,
            n_expert=64,
            experts_per_token=8,
            balance=LossBalance(coefficient=1e-3),
            z_loss=1e-3,
        ),
        train=TrainConfig(optimizer=MuonConfig()),
    )
