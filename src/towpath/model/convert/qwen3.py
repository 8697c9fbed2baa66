"""``modern`` is transformers' Qwen3ForCausalLM."""

from __future__ import annotations

from typing import Any

from towpath.model.config import ModernConfig
from towpath.model.convert.twin import Twin, refuse
from towpath.model.patterns import of_layer
from towpath.model.patterns.sliding_window import SlidingWindow
from towpath.model.positions.rope import RopeConfig
from towpath.model.positions.scaling import LinearScaling, NtkScaling, Unscaled, YarnScaling


def _settings(config: ModernConfig) -> dict[str, Any]:
    rope = _their_rope(config)
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
        "rope_theta": rope["rope_theta"],  # where transformers 4 looks for it
        **_their_attention(config),
    }


def _our_config(theirs: Any) -> ModernConfig:
    refuse(
        attention_bias=(theirs.attention_bias, not theirs.attention_bias),
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
            "positions": _our_rope(theirs),
            "attention": _our_attention(theirs),
            "norm_epsilon": theirs.rms_norm_eps,
            "tie_embeddings": theirs.tie_word_embeddings,
        }
    )


def _their_rope(config: ModernConfig) -> dict[str, Any]:
    """``rope_parameters``. NTK scaling is a larger base, and written as that."""
    positions = config.positions
    refuse(**{"positions.type": (positions.type, isinstance(positions, RopeConfig))})
    assert isinstance(positions, RopeConfig)
    scaling = positions.scaling
    match scaling:
        case Unscaled():
            return {"rope_type": "default", "rope_theta": positions.theta}
        case NtkScaling():
            return {
                "rope_type": "default",
                "rope_theta": scaling.scaled_theta(positions.theta, config.head_width),
            }
        case LinearScaling():
            return {"rope_type": "linear", "rope_theta": positions.theta, "factor": scaling.factor}
        case YarnScaling():
            given = scaling.attention_factor
            return {
                "rope_type": "yarn",
                "rope_theta": positions.theta,
                "factor": scaling.factor,
                "original_max_position_embeddings": scaling.original_positions,
                "beta_fast": scaling.beta_fast,
                "beta_slow": scaling.beta_slow,
                **({} if given is None else {"attention_factor": given}),
            }
        case _:
            refuse(**{"positions.scaling.type": (scaling.type, False)})
            raise AssertionError


def _our_rope(theirs: Any) -> dict[str, Any]:
    rope = getattr(theirs, "rope_parameters", None) or {"rope_theta": theirs.rope_theta}
    scaling = getattr(theirs, "rope_scaling", None) or rope
    kind = scaling.get("rope_type", "default")
    odd = [name for name in ("mscale", "mscale_all_dim") if scaling.get(name)]
    refuse(
        rope_type=(kind, kind in ("default", "linear", "yarn")),
        rope_parameters=(scaling, not odd and scaling.get("truncate", True)),
    )
    ours: dict[str, Any] = {"type": "rope", "theta": rope["rope_theta"]}
    if kind == "linear":
        ours["scaling"] = {"type": "linear", "factor": scaling["factor"]}
    elif kind == "yarn":
        original = scaling["original_max_position_embeddings"]
        names = ("beta_fast", "beta_slow", "attention_factor")
        ours["scaling"] = {
            "type": "yarn",
            "factor": scaling.get("factor") or theirs.max_position_embeddings / original,
            "original_positions": original,
            **{name: scaling[name] for name in names if scaling.get(name)},
        }
    return ours


def _their_attention(config: ModernConfig) -> dict[str, Any]:
    pattern = config.attention
    if pattern.is_full:
        return {}
    refuse(**{"attention.type": (pattern.type, isinstance(pattern, SlidingWindow))})
    assert isinstance(pattern, SlidingWindow)
    layers = [of_layer(pattern, layer) for layer in range(config.n_layer)]
    return {
        "use_sliding_window": True,
        "sliding_window": pattern.window_tokens,
        "layer_types": ["full_attention" if layer is None else "sliding_attention" for layer in layers],
    }


def _our_attention(theirs: Any) -> dict[str, Any]:
    kinds = list(getattr(theirs, "layer_types", None) or [])
    full = [number for number, kind in enumerate(kinds, start=1) if kind == "full_attention"]
    if not theirs.use_sliding_window or len(full) == len(kinds):
        return {"type": "full"}
    every = full[0] if full else None
    regular = list(range(every, len(kinds) + 1, every)) if every else []
    refuse(layer_types=(kinds, full == regular))
    return {"type": "sliding_window", "window_tokens": theirs.sliding_window, "full_every": every}


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
