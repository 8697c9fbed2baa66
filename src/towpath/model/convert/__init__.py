"""To and from transformers: each layout of ours and its counterpart, see the modules of this package.

Logits agree to 1e-5 in fp32, both ways. What ``to_transformers`` gives is saved by its own
``save_pretrained`` and then opens in everything that reads that format. A setting of transformers
that our layouts don't have is refused, never dropped. To add a family: a module with its ``Twin``,
and a line in ``_TWINS`` and ``_ALL``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from towpath.core.errors import ModelError, need
from towpath.model.config import TransformerConfig
from towpath.model.convert.bert import BERTS
from towpath.model.convert.gpt2 import GPT2
from towpath.model.convert.qwen3 import QWEN3
from towpath.model.convert.qwen3_moe import QWEN3_MOE
from towpath.model.convert.t5 import T5
from towpath.model.convert.twin import Twin, our_tensors, their_tensors
from towpath.model.language_model import LanguageModel, build
from towpath.model.weights import check_tensors

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_TWINS: dict[str, Callable[[Any], Twin]] = {
    "gpt2": lambda config: GPT2,
    "modern": lambda config: QWEN3,
    "moe": lambda config: QWEN3_MOE,
    "bert": lambda config: BERTS[config.head],
    "t5": lambda config: T5,
}
"""Our type -> its counterpart, which may depend on the configuration."""
_ALL = (GPT2, QWEN3, QWEN3_MOE, *BERTS.values(), T5)


def to_transformers(
    model: LanguageModel, *, end_of_text: int | None = None, pad: int | None = None
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
    tensors = dict(their_tensors(model, twin))
    for copy, original in twin.copies.items():
        if tensors[copy].data_ptr() != tensors[original].data_ptr():
            _untie_(converted, copy, original)
    converted.to(model.tokens.weight.dtype).load_state_dict(tensors)
    return converted.to(model.device).eval()


def from_transformers(hf_model: PreTrainedModel) -> LanguageModel:
    """A copy of ``hf_model``, of one of the classes that have a counterpart here, in evaluation mode.

    Raises:
        ModelError: another class, or a setting that our layouts don't have.
    """
    name = type(hf_model).__name__
    twins = {twin.model_class: twin for twin in _ALL}
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


def _untie_(hf_model: PreTrainedModel, copy: str, original: str) -> None:
    """Give ``copy`` weights of its own where the class would share those of ``original``."""
    shared = hf_model.get_parameter(original)
    if hf_model.get_parameter(copy) is shared:
        module, _, name = copy.rpartition(".")
        setattr(hf_model.get_submodule(module), name, nn.Parameter(shared.detach().clone()))
        hf_model.config.tie_word_embeddings = False


def _twin_of(config: TransformerConfig) -> Twin:
    if config.type not in _TWINS:
        raise ModelError(
            f"transformers has no counterpart of the layout {config.type!r}. Exportable: {', '.join(_TWINS)}."
        )
    return _TWINS[config.type](config)
