"""The package flash-attn (Dao 2023, arXiv:2307.08691), where it is installed and there is a GPU.

Never installed by this project: it is compiled for one torch and one CUDA. It knows causality,
windows, dropout and shared heads; masks, biases and documents it does not. Its causality is as
ours: the queries are the last of the keys.

B batch, H query heads, K key-value heads, T queries, S keys, D head dimension.
"""

from __future__ import annotations

import importlib
import importlib.util
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from towpath.model.backends.case import Backend, Case, never
from towpath.model.patterns.sliding_window import SlidingWindow

if TYPE_CHECKING:
    from jaxtyping import Float

    from towpath.model.sight import Sight


_INSTALLED = importlib.util.find_spec("flash_attn") is not None


def attend(
    q: Float[Tensor, "B H T D"],
    k: Float[Tensor, "B K S D"],
    v: Float[Tensor, "B K S D"],
    sight: Sight,
    dropout: float,
) -> Float[Tensor, "B H T D"]:
    """See ``Attend``."""
    reach = sight.pattern.window_tokens - 1 if isinstance(sight.pattern, SlidingWindow) else -1
    gathered = importlib.import_module("flash_attn").flash_attn_func(
        *(x.transpose(1, 2) for x in (q, k, v)),
        dropout_p=dropout,
        softmax_scale=sight.scale,
        causal=sight.causal,
        window_size=(reach, 0 if sight.causal else reach),
    )
    return gathered.transpose(1, 2)


def _refusal(sight: Sight, case: Case) -> str | None:
    if case.device != "cuda":
        return f"it needs a GPU, and this is on {case.device}"
    if not _INSTALLED:
        return "the package flash-attn is not installed"
    if case.dtype not in (torch.float16, torch.bfloat16):
        return f"it takes fp16 or bf16, not {str(case.dtype).removeprefix('torch.')}"
    if sight.mask is not None or sight.bias is not None or sight.at_distance is not None:
        return "it takes no mask and no bias"
    if sight.documents is not None:
        return "it is not told of documents"
    if sight.pattern is not None and not isinstance(sight.pattern, SlidingWindow):
        return f"it has no {sight.pattern.type} pattern"
    return None


FLASH = Backend("flash", "the package's fused kernels", _refusal, never, attend)
