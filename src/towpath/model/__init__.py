"""From token ids to logits, and from logits to token ids and text.

Comes in: a model section and token ids. Goes out: a ``Decoder``, ``Encoder`` or ``EncoderDecoder``
with logits or a loss, and new tokens. Knows nothing of training or serving. To add a layout of a
decoder: its config in ``config.py``, its parts in ``layouts.py``, a line in ``MODELS``.

The public names are imported when they are first used: only what computes imports torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from towpath.model.cache import KeyValueCache as KeyValueCache
    from towpath.model.config import MODELS as MODELS
    from towpath.model.config import DecoderConfig as DecoderConfig
    from towpath.model.config import GPT2Config as GPT2Config
    from towpath.model.config import ModelConfig as ModelConfig
    from towpath.model.config import ModernConfig as ModernConfig
    from towpath.model.config import SamplingConfig as SamplingConfig
    from towpath.model.config import TransformerConfig as TransformerConfig
    from towpath.model.convert import from_transformers as from_transformers
    from towpath.model.convert import to_transformers as to_transformers
    from towpath.model.decoder import Decoder as Decoder
    from towpath.model.encoder import Encoder as Encoder
    from towpath.model.encoder import with_head as with_head
    from towpath.model.encoder_config import BertConfig as BertConfig
    from towpath.model.encoder_decoder import EncoderDecoder as EncoderDecoder
    from towpath.model.encoder_decoder_config import T5Config as T5Config
    from towpath.model.experts_config import MoEConfig as MoEConfig
    from towpath.model.experts_decoder import ExpertDecoder as ExpertDecoder
    from towpath.model.language_model import LanguageModel as LanguageModel
    from towpath.model.language_model import Output as Output
    from towpath.model.language_model import build as build
    from towpath.model.linear import fused_rows as fused_rows
    from towpath.model.loss import chunked_cross_entropy as chunked_cross_entropy
    from towpath.model.memory import RecurrentDecoder as RecurrentDecoder
    from towpath.model.memory_config import RecurrentConfig as RecurrentConfig
    from towpath.model.size import count_active_parameters as count_active_parameters
    from towpath.model.size import count_parameters as count_parameters
    from towpath.model.size import flops_per_token as flops_per_token
    from towpath.model.size import print_model_structure as print_model_structure
    from towpath.model.text import TextStep as TextStep
    from towpath.model.text import generate_text as generate_text
    from towpath.model.text import stream_text as stream_text
    from towpath.model.text import text_steps as text_steps
    from towpath.model.weights import load_weights as load_weights
    from towpath.model.weights import save_weights as save_weights

_MODULES = {
    "cache": ("KeyValueCache",),
    "config": (
        "MODELS",
        "TransformerConfig",
        "DecoderConfig",
        "GPT2Config",
        "ModelConfig",
        "ModernConfig",
        "SamplingConfig",
    ),
    "convert": ("from_transformers", "to_transformers"),
    "decoder": ("Decoder",),
    "encoder": ("Encoder", "with_head"),
    "encoder_config": ("BertConfig",),
    "encoder_decoder": ("EncoderDecoder",),
    "encoder_decoder_config": ("T5Config",),
    "experts_config": ("MoEConfig",),
    "experts_decoder": ("ExpertDecoder",),
    "language_model": ("LanguageModel", "Output", "build"),
    "linear": ("fused_rows",),
    "loss": ("chunked_cross_entropy",),
    "memory": ("RecurrentDecoder",),
    "memory_config": ("RecurrentConfig",),
    "size": ("count_active_parameters", "count_parameters", "flops_per_token", "print_model_structure"),
    "text": ("TextStep", "generate_text", "stream_text", "text_steps"),
    "weights": ("load_weights", "save_weights"),
}
_HOME_OF = {name: module for module, names in _MODULES.items() for name in names}

__all__ = sorted(_HOME_OF)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME_OF})
