"""To and from transformers: ``gpt2`` is its GPT2LMHeadModel, ``modern`` its Qwen3ForCausalLM.

Logits agree to 1e-5 in fp32, both ways. What ``to_transformers`` gives is saved by its own
``save_pretrained`` and then opens in everything that reads that format. A setting of transformers
that our layouts don't have is refused, never dropped. To add a family: a module with its ``Twin``,
and a line in ``_TWINS``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from towpath.core.errors import ModelError, need
from towpath.model.config import DecoderConfig
from towpath.model.convert.gpt2 import GPT2
from towpath.model.convert.qwen3 import QWEN3
from towpath.model.convert.twin import Twin, our_tensors, their_tensors
from towpath.model.decoder import Decoder, build
from towpath.model.weights import check_tensors

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_TWINS: dict[str, Twin] = {"gpt2": GPT2, "modern": QWEN3}


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
    converted.to(model.tokens.weight.dtype).load_state_dict(dict(their_tensors(model, twin)))
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
        ours = dict(our_tensors(model, theirs, twin))
        check_tensors(model.state_dict(), {key: tuple(value.shape) for key, value in ours.items()}, name)
        for key, tensor in model.state_dict().items():
            tensor.copy_(ours[key])
    return model.to(hf_model.device, hf_model.dtype).eval()


def _twin_of(config: DecoderConfig) -> Twin:
    if config.type not in _TWINS:
        raise ModelError(
            f"transformers has no counterpart of the layout {config.type!r}. Exportable: {', '.join(_TWINS)}."
        )
    return _TWINS[config.type]
