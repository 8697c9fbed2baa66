"""``modern`` is transformers' Qwen3ForCausalLM."""

from __future__ import annotations

from typing import Any

from towpath.model.config import ModernConfig
from towpath.model.convert.twin import Twin, refuse


def _settings(config: ModernConfig) -> dict[str, Any]:
    rope = {"rope_type": "default", "rope_theta": config.rope_theta}
    return {
        "vocab_size": config.vocab_size,
        "max_position_embeddings": config.n_positions,
        "hidden_size": config.n_embd,
        "num_hidden_layers": config.n_layer,
        "num_attention_heads": config.n_head,
        "num_key_value_heads": config.kv_heads,
        "head_dim": config.head_width,
        "intermediate_size": config.inner_width,
        "rms_norm_eps": config.norm_epsilon,
        "tie_word_embeddings": config.tie_embeddings,
        "rope_parameters": rope,
        "rope_theta": config.rope_theta,  # where transformers 4 looks for it
    }


def _our_config(theirs: Any) -> ModernConfig:
    rope = getattr(theirs, "rope_parameters", None) or {"rope_theta": theirs.rope_theta}
    scaling = getattr(theirs, "rope_scaling", None) or rope
    kind = scaling.get("rope_type", "default")
    refuse(
        rope_type=(kind, kind == "default"),
        attention_bias=(theirs.attention_bias, not theirs.attention_bias),
        use_sliding_window=(theirs.use_sliding_window, not theirs.use_sliding_window),
        hidden_act=(theirs.hidden_act, theirs.hidden_act == "silu"),
        attention_dropout=(theirs.attention_dropout, theirs.attention_dropout == 0),
    )
    return ModernConfig.model_validate(
        {
            "vocab_size": theirs.vocab_size,
            "n_positions": theirs.max_position_embeddings,
            "n_embd": theirs.hidden_size,
            "n_layer": theirs.num_hidden_layers,
            "n_head": theirs.num_attention_heads,
            "n_kv_head": theirs.num_key_value_heads,
            "head_dim": theirs.head_dim,
            "n_inner": theirs.intermediate_size,
            "rope_theta": rope["rope_theta"],
            "norm_epsilon": theirs.rms_norm_eps,
            "tie_embeddings": theirs.tie_word_embeddings,
        }
    )


QWEN3 = Twin(
    config_class="Qwen3Config",
    model_class="Qwen3ForCausalLM",
    settings=_settings,
    our_config=_our_config,
    names={
        "tokens": "model.embed_tokens",
        "final_norm": "model.norm",
        "head": "lm_head",
        "blocks.{}.attention_norm": "model.layers.{}.input_layernorm",
        "blocks.{}.attention.qkv": (
            "model.layers.{}.self_attn.q_proj",
            "model.layers.{}.self_attn.k_proj",
            "model.layers.{}.self_attn.v_proj",
        ),
        "blocks.{}.attention.query_norm": "model.layers.{}.self_attn.q_norm",
        "blocks.{}.attention.key_norm": "model.layers.{}.self_attn.k_norm",
        "blocks.{}.attention.out": "model.layers.{}.self_attn.o_proj",
        "blocks.{}.feed_forward_norm": "model.layers.{}.post_attention_layernorm",
        "blocks.{}.feed_forward.gate_up": (
            "model.layers.{}.mlp.gate_proj",
            "model.layers.{}.mlp.up_proj",
        ),
        "blocks.{}.feed_forward.out": "model.layers.{}.mlp.down_proj",
    },
    copies={"lm_head.weight": "model.embed_tokens.weight"},
)
