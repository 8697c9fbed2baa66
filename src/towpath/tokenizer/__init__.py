"""From clean text to token ids, and to the order in which a training run sees them.

Comes in: Documents. Goes out: a ``Tokenizer`` (byte-level BPE, HF ``tokenizer.json``), a
``ChatTemplate``, and ``TokenShards``, read window by window through ``Samples``. Knows nothing of
models. To train on another vocabulary change ``TokenizerConfig``; to take an existing tokenizer
set its ``path``.

The public names are imported when they are first used, so that importing this room is light.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from towpath.tokenizer.bpe import GPT2_PATTERN as GPT2_PATTERN
    from towpath.tokenizer.bpe import PATTERN as PATTERN
    from towpath.tokenizer.chat import ChatTemplate as ChatTemplate
    from towpath.tokenizer.chat import Rendered as Rendered
    from towpath.tokenizer.chat import RoleTemplate as RoleTemplate
    from towpath.tokenizer.chat import save_for_transformers as save_for_transformers
    from towpath.tokenizer.config import TokenizerConfig as TokenizerConfig
    from towpath.tokenizer.making import make_tokenizer as make_tokenizer
    from towpath.tokenizer.order import KeyedPermutation as KeyedPermutation
    from towpath.tokenizer.order import Mixture as Mixture
    from towpath.tokenizer.samples import Samples as Samples
    from towpath.tokenizer.samples import Span as Span
    from towpath.tokenizer.shards import TokenShards as TokenShards
    from towpath.tokenizer.shards import TokenStream as TokenStream
    from towpath.tokenizer.streaming import StreamDecoder as StreamDecoder
    from towpath.tokenizer.tokenizer import SPECIAL_TOKENS as SPECIAL_TOKENS
    from towpath.tokenizer.tokenizer import ByteTokenizer as ByteTokenizer
    from towpath.tokenizer.tokenizer import Tokenizer as Tokenizer
    from towpath.tokenizer.tokenizer import train_tokenizer as train_tokenizer
    from towpath.tokenizer.writing import make_tokens as make_tokens

_MODULES = {
    "bpe": ("GPT2_PATTERN", "PATTERN"),
    "chat": ("ChatTemplate", "Rendered", "RoleTemplate", "save_for_transformers"),
    "config": ("TokenizerConfig",),
    "making": ("make_tokenizer",),
    "order": ("KeyedPermutation", "Mixture"),
    "samples": ("Samples", "Span"),
    "shards": ("TokenShards", "TokenStream"),
    "streaming": ("StreamDecoder",),
    "tokenizer": ("SPECIAL_TOKENS", "ByteTokenizer", "Tokenizer", "train_tokenizer"),
    "writing": ("make_tokens",),
}
_HOME_OF = {name: module for module, names in _MODULES.items() for name in names}

__all__ = sorted(_HOME_OF)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME_OF})
