"""``moe`` is transformers' Qwen3MoeForCausalLM, from version 5 on: a layer's experts are one tensor there.

The coefficient of the load-balance loss goes along; capacity is a matter of training and stays here.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from towpath.core.errors import ModelError
from towpath.model.convert.qwen3 import QWEN3
from towpath.model.convert.twin import Twin, refuse
from towpath.model.experts_config import MoEConfig


def _settings(config: MoEConfig) -> dict[str, Any]:
    _check_version()
    refuse(
        shared_width=(config.shared_width, config.shared_width is None),
        scoring=(config.scoring, config.scoring == "softmax"),
        **{
            "balance.type": (config.balance.type, config.balance.type in ("loss", "none")),
            "attention.full_every": (config.attention.full_every, not config.attention.full_every),
        },
    )
    dense = QWEN3.settings(config)
    dense.pop("layer_types", None)
    return {
        **dense,
        "moe_intermediate_size": config.inner_width,
        "num_experts": config.n_expert,
        "num_experts_per_tok": config.experts_per_token,
        "norm_topk_prob": config.renormalise,
        "router_aux_loss_coef": config.balance.loss_coefficient,
    }


def _our_config(theirs: Any) -> MoEConfig:
    _check_version()
    step, dense_layers = theirs.decoder_sparse_step, list(theirs.mlp_only_layers or [])
    refuse(decoder_sparse_step=(step, step == 1), mlp_only_layers=(dense_layers, not dense_layers))
    coefficient, window = theirs.router_aux_loss_coef, theirs.sliding_window
    attention = {"type": "sliding_window", "window_tokens": window} if window else {"type": "full"}
    return MoEConfig.model_validate(
        {
            **QWEN3.our_config(theirs).model_dump(),
            "type": "moe",
            "attention": attention,
            "n_inner": theirs.moe_intermediate_size,
            "n_expert": theirs.num_experts,
            "experts_per_token": theirs.num_experts_per_tok,
            "renormalise": theirs.norm_topk_prob,
            "balance": {"type": "loss", "coefficient": coefficient} if coefficient else {"type": "none"},
        }
    )


def _check_version() -> None:
    found = version("transformers")
    if int(found.partition(".")[0]) < 5:
        raise ModelError(
            f"transformers {found} keeps every expert apart; experts are converted with version 5 or newer. "
            'Install it with: pip install "transformers>=5".'
        )


_LAYER, _THEIR_LAYER = "blocks.{}.feed_forward", "model.layers.{}.mlp"

QWEN3_MOE = Twin(
    config_class="Qwen3MoeConfig",
    model_class="Qwen3MoeForCausalLM",
    settings=_settings,
    our_config=_our_config,
    names={
        **{ours: theirs for ours, theirs in QWEN3.names.items() if not ours.startswith(f"{_LAYER}.")},
        f"{_LAYER}.router": f"{_THEIR_LAYER}.gate",
        f"{_LAYER}.experts.gate_up.weight": f"{_THEIR_LAYER}.experts.gate_up_proj",
        f"{_LAYER}.experts.out.weight": f"{_THEIR_LAYER}.experts.down_proj",
    },
    copies=QWEN3.copies,
)
