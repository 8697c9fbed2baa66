"""``gpt2`` is transformers' GPT2LMHeadModel."""

from __future__ import annotations

import warnings
from typing import Any

from towpath.model.config import GPT2Config
from towpath.model.convert.twin import Twin, refuse
from towpath.model.layouts import GPT2_NORM_EPSILON

_ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_new": "gelu_new",
    "gelu_pytorch_tanh": "gelu_new",
    "relu": "relu",
}


def _settings(config: GPT2Config) -> dict[str, Any]:
    refuse(
        **{
            "positions.type": (config.positions.type, config.positions.type == "learned"),
            "attention.type": (config.attention.type, config.attention.is_full),
        }
    )
    return {
        "vocab_size": config.vocab_size,
        "n_positions": config.n_positions,
        "n_embd": config.n_embd,
        "n_layer": config.n_layer,
        "n_head": config.n_head,
        "n_inner": config.n_inner,
        "activation_function": config.activation,
        "resid_pdrop": config.dropout,
        "embd_pdrop": config.dropout,
        "attn_pdrop": config.dropout,
        "layer_norm_epsilon": GPT2_NORM_EPSILON,
    }


def _our_config(theirs: Any) -> GPT2Config:
    activation = _ACTIVATIONS.get(theirs.activation_function)
    refuse(
        activation_function=(theirs.activation_function, activation is not None),
        layer_norm_epsilon=(theirs.layer_norm_epsilon, theirs.layer_norm_epsilon == GPT2_NORM_EPSILON),
        scale_attn_weights=(theirs.scale_attn_weights, theirs.scale_attn_weights),
        scale_attn_by_inverse_layer_idx=(
            theirs.scale_attn_by_inverse_layer_idx,
            not theirs.scale_attn_by_inverse_layer_idx,
        ),
        add_cross_attention=(theirs.add_cross_attention, not theirs.add_cross_attention),
        tie_word_embeddings=(theirs.tie_word_embeddings, theirs.tie_word_embeddings),
    )
    rates = (theirs.resid_pdrop, theirs.embd_pdrop, theirs.attn_pdrop)
    if len(set(rates)) > 1:
        warnings.warn(f"Dropout rates {rates} differ; the first is used for all.", stacklevel=3)
    return GPT2Config.model_validate(
        {
            "vocab_size": theirs.vocab_size,
            "n_positions": theirs.n_positions,
            "n_embd": theirs.n_embd,
            "n_layer": theirs.n_layer,
            "n_head": theirs.n_head,
            "n_inner": theirs.n_inner,
            "activation": activation,
            "dropout": theirs.resid_pdrop,
        }
    )


GPT2 = Twin(
    config_class="GPT2Config",
    model_class="GPT2LMHeadModel",
    settings=_settings,
    our_config=_our_config,
    names={
        "tokens": "transformer.wte",
        "positions": "transformer.wpe",
        "final_norm": "transformer.ln_f",
        "blocks.{}.attention_norm": "transformer.h.{}.ln_1",
        "blocks.{}.attention.qkv": "transformer.h.{}.attn.c_attn",
        "blocks.{}.attention.out": "transformer.h.{}.attn.c_proj",
        "blocks.{}.feed_forward_norm": "transformer.h.{}.ln_2",
        "blocks.{}.feed_forward.up": "transformer.h.{}.mlp.c_fc",
        "blocks.{}.feed_forward.out": "transformer.h.{}.mlp.c_proj",
    },
    copies={"lm_head.weight": "transformer.wte.weight"},
    transposed="transformer.h.",
)
