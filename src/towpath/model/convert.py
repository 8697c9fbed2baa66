"""To and from transformers: ``gpt2`` is its GPT2LMHeadModel, ``modern`` its Qwen3ForCausalLM.

Logits agree to 1e-5 in fp32, both ways. What ``to_transformers`` gives is saved by its own
``save_pretrained`` and then opens in everything that reads that format. A setting of transformers
that our layouts don't have is refused, never dropped.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from towpath.core.errors import ModelError, need
from towpath.model.config import DecoderConfig, GPT2Config, ModernConfig
from towpath.model.decoder import Decoder, build
from towpath.model.layouts import GPT2_NORM_EPSILON
from towpath.model.linear import fused_rows
from towpath.model.weights import check_tensors

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_GPT2_ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_new": "gelu_new",
    "gelu_pytorch_tanh": "gelu_new",
    "relu": "relu",
}


def to_transformers(
    model: Decoder, *, end_of_text: int | None = None, pad: int | None = None
) -> PreTrainedModel:
    """A copy of ``model`` as transformers has it, in evaluation mode.

    ``end_of_text`` and ``pad`` are token ids for its configuration, so that its ``generate`` stops.

    Raises:
        ModelError: the layout has no counterpart.
        MissingPackageError: transformers is not installed.
    """
    transformers = need("transformers", install="towpath[hf]", why="to_transformers")
    twin = _twin_of(model.config)
    special = {"bos_token_id": end_of_text, "eos_token_id": end_of_text, "pad_token_id": pad}
    with torch.random.fork_rng(devices=[]):
        config = getattr(transformers, twin.config_class)(**twin.settings(model.config), **special)
        converted = getattr(transformers, twin.model_class)(config)
    converted.to(model.tokens.weight.dtype).load_state_dict(dict(_theirs(model, twin)))
    return converted.to(model.device).eval()


def from_transformers(hf_model: PreTrainedModel) -> Decoder:
    """A copy of ``hf_model``, a GPT2LMHeadModel or Qwen3ForCausalLM, in evaluation mode.

    Raises:
        ModelError: another class, or a setting that our layouts don't have.
    """
    name = type(hf_model).__name__
    twins = {twin.model_class: twin for twin in _TWINS.values()}
    if name not in twins:
        raise ModelError(f"{name} cannot be converted. Convertible: {', '.join(sorted(twins))}.")
    twin = twins[name]
    model = build(twin.our_config(hf_model.config))
    theirs = hf_model.state_dict()
    with torch.no_grad():
        ours = dict(_ours(model, theirs, twin))
        check_tensors(model.state_dict(), {key: tuple(value.shape) for key, value in ours.items()}, name)
        for key, tensor in model.state_dict().items():
            tensor.copy_(ours[key])
    return model.to(hf_model.device, hf_model.dtype).eval()


class _Twin(NamedTuple):
    """How one layout of ours maps to a class of transformers."""

    config_class: str
    model_class: str
    settings: Callable[[Any], dict[str, Any]]
    """Our config -> the fields of theirs."""
    our_config: Callable[[Any], DecoderConfig]
    """Their config -> ours."""
    names: Mapping[str, str | tuple[str, ...]]
    """Our name in a block, or outside -> theirs; several where ours is fused and theirs is not."""
    prefix: str
    """What comes before the number of a block."""
    transposed: bool
    """Whether their linear layers keep (inputs, outputs)."""


def _gpt2_settings(config: GPT2Config) -> dict[str, Any]:
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


def _our_gpt2(theirs: Any) -> GPT2Config:
    activation = _GPT2_ACTIVATIONS.get(theirs.activation_function)
    _refuse(
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


def _qwen3_settings(config: ModernConfig) -> dict[str, Any]:
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


def _our_modern(theirs: Any) -> ModernConfig:
    rope = getattr(theirs, "rope_parameters", None) or {"rope_theta": theirs.rope_theta}
    scaling = getattr(theirs, "rope_scaling", None) or rope
    kind = scaling.get("rope_type", "default")
    _refuse(
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


def _refuse(**settings: tuple[object, bool]) -> None:
    """Raise for the first setting that is (value, False)."""
    for name, (value, good) in settings.items():
        if not good:
            raise ModelError(f"A model with {name} = {value!r} cannot be converted: no layout here has that.")


_TWINS: dict[str, _Twin] = {
    "gpt2": _Twin(
        config_class="GPT2Config",
        model_class="GPT2LMHeadModel",
        settings=_gpt2_settings,
        our_config=_our_gpt2,
        names={
            "tokens": "transformer.wte",
            "positions": "transformer.wpe",
            "final_norm": "transformer.ln_f",
            "attention_norm": "ln_1",
            "attention.qkv": "attn.c_attn",
            "attention.out": "attn.c_proj",
            "feed_forward_norm": "ln_2",
            "feed_forward.up": "mlp.c_fc",
            "feed_forward.out": "mlp.c_proj",
        },
        prefix="transformer.h",
        transposed=True,
    ),
    "modern": _Twin(
        config_class="Qwen3Config",
        model_class="Qwen3ForCausalLM",
        settings=_qwen3_settings,
        our_config=_our_modern,
        names={
            "tokens": "model.embed_tokens",
            "final_norm": "model.norm",
            "head": "lm_head",
            "attention_norm": "input_layernorm",
            "attention.qkv": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
            "attention.query_norm": "self_attn.q_norm",
            "attention.key_norm": "self_attn.k_norm",
            "attention.out": "self_attn.o_proj",
            "feed_forward_norm": "post_attention_layernorm",
            "feed_forward.gate_up": ("mlp.gate_proj", "mlp.up_proj"),
            "feed_forward.out": "mlp.down_proj",
        },
        prefix="model.layers",
        transposed=False,
    ),
}


def _twin_of(config: DecoderConfig) -> _Twin:
    if config.type not in _TWINS:
        raise ModelError(
            f"transformers has no counterpart of the layout {config.type!r}. Exportable: {', '.join(_TWINS)}."
        )
    return _TWINS[config.type]


def _their_names(name: str, twin: _Twin) -> list[str]:
    """What transformers calls our parameter ``name``; several names where ours is fused."""
    module, _, kind = name.rpartition(".")
    where = ""
    if module.startswith("blocks."):
        _, number, module = module.split(".", 2)
        where = f"{twin.prefix}.{number}."
    theirs = twin.names[module]
    return [f"{where}{part}.{kind}" for part in ((theirs,) if isinstance(theirs, str) else theirs)]


def _theirs(model: Decoder, twin: _Twin) -> Iterator[tuple[str, Tensor]]:
    """The weights of ``model`` under their names."""
    rows = fused_rows(model)
    for name, tensor in model.state_dict().items():
        names = _their_names(name, twin)
        parts = tensor.split(rows[name]) if len(names) > 1 else [tensor]
        for their_name, part in zip(names, parts, strict=True):
            yield their_name, _turned(their_name, part, twin)
    if model.head is None:
        yield "lm_head.weight", model.tokens.weight


def _ours(model: Decoder, theirs: Mapping[str, Tensor], twin: _Twin) -> Iterator[tuple[str, Tensor]]:
    """The tensors ``theirs`` under our names."""
    for name in model.state_dict():
        names = _their_names(name, twin)
        yield name, torch.cat([_turned(their_name, theirs[their_name], twin) for their_name in names])


def _turned(their_name: str, tensor: Tensor, twin: _Twin) -> Tensor:
    """``tensor`` between (outputs, inputs) and their order; the same both ways."""
    is_linear = tensor.dim() == 2 and their_name.startswith(twin.prefix)
    return tensor.T if twin.transposed and is_linear else tensor
