"""``t5`` is transformers' T5ForConditionalGeneration."""

from __future__ import annotations

from typing import Any

from towpath.model.convert.twin import Twin, refuse
from towpath.model.encoder_decoder_config import T5Config

_CONTEXT = 512
"""Of every released T5; transformers' configuration has no such setting."""


def _settings(config: T5Config) -> dict[str, Any]:
    return {
        "vocab_size": config.vocab_size,
        "n_positions": config.n_positions,
        "d_model": config.n_embd,
        "d_kv": config.head_width,
        "d_ff": config.inner_width,
        "num_layers": config.n_layer,
        "num_decoder_layers": config.decoder_layers,
        "num_heads": config.n_head,
        "relative_attention_num_buckets": config.n_buckets,
        "relative_attention_max_distance": config.max_distance,
        "dropout_rate": config.dropout,
        "layer_norm_epsilon": config.norm_epsilon,
        "feed_forward_proj": config.feed_forward,
        "decoder_start_token_id": config.start_id,
        "tie_word_embeddings": config.tie_embeddings,
    }


def _our_config(theirs: Any) -> T5Config:
    kind = theirs.feed_forward_proj
    start = theirs.decoder_start_token_id
    refuse(feed_forward_proj=(kind, kind in ("relu", "gated-gelu")))
    return T5Config.model_validate(
        {
            "vocab_size": theirs.vocab_size,
            "n_positions": getattr(theirs, "n_positions", _CONTEXT),
            "n_embd": theirs.d_model,
            "n_layer": theirs.num_layers,
            "n_decoder_layer": theirs.num_decoder_layers,
            "n_head": theirs.num_heads,
            "head_dim": theirs.d_kv,
            "n_inner": theirs.d_ff,
            "feed_forward": kind,
            "tie_embeddings": _scales(theirs),
            "dropout": theirs.dropout_rate,
            "norm_epsilon": theirs.layer_norm_epsilon,
            "n_buckets": theirs.relative_attention_num_buckets,
            "max_distance": theirs.relative_attention_max_distance,
            "start_id": theirs.pad_token_id or 0 if start is None else start,
        }
    )


def _scales(theirs: Any) -> bool:
    """Whether their head divides states by sqrt(d_model); from version 5 on that is a setting of its own."""
    return getattr(theirs, "scale_decoder_outputs", theirs.tie_word_embeddings)


def _block(ours: str, theirs: str, feed_forward: int) -> dict[str, str | tuple[str, ...]]:
    block, layer = f"{ours}.blocks.{{}}", f"{theirs}.block.{{}}.layer"
    dense = f"{layer}.{feed_forward}.DenseReluDense"
    return {
        f"{ours}.final_norm": f"{theirs}.final_layer_norm",
        f"{ours}.positions": f"{theirs}.block.0.layer.0.SelfAttention.relative_attention_bias",
        f"{block}.attention_norm": f"{layer}.0.layer_norm",
        f"{block}.attention.qkv": tuple(f"{layer}.0.SelfAttention.{part}" for part in "qkv"),
        f"{block}.attention.out": f"{layer}.0.SelfAttention.o",
        f"{block}.feed_forward_norm": f"{layer}.{feed_forward}.layer_norm",
        f"{block}.feed_forward.up": f"{dense}.wi",
        f"{block}.feed_forward.gate_up": (f"{dense}.wi_0", f"{dense}.wi_1"),
        f"{block}.feed_forward.out": f"{dense}.wo",
    }


_CROSS = "decoder.block.{}.layer.1"

T5 = Twin(
    config_class="T5Config",
    model_class="T5ForConditionalGeneration",
    settings=_settings,
    our_config=_our_config,
    names={
        "tokens": "shared",
        "head": "lm_head",
        **_block("encoder", "encoder", 1),
        **_block("decoder", "decoder", 2),
        "decoder.blocks.{}.cross_norm": f"{_CROSS}.layer_norm",
        "decoder.blocks.{}.cross_attention.query": f"{_CROSS}.EncDecAttention.q",
        "decoder.blocks.{}.cross_attention.key_value": (
            f"{_CROSS}.EncDecAttention.k",
            f"{_CROSS}.EncDecAttention.v",
        ),
        "decoder.blocks.{}.cross_attention.out": f"{_CROSS}.EncDecAttention.o",
    },
    copies={
        "encoder.embed_tokens.weight": "shared.weight",
        "decoder.embed_tokens.weight": "shared.weight",
        "lm_head.weight": "shared.weight",
    },
)
