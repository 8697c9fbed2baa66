"""Activations that are computed again in the backward pass: all of a block, or all but the dear ones.

Chen et al. 2016, arXiv:1604.06174, keep each block's input alone. "selective" keeps the outputs of matrix
products and of attention as well and computes the rest again (norms, rotations, activation functions),
which costs little: the other way round than Korthikanti et al. 2022, arXiv:2205.05198, section 5, who compute
attention again, because there it filled memory and here no backend keeps its scores.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import CheckpointPolicy, checkpoint, create_selective_checkpoint_contexts

from towpath.model.kernels import attention

Recomputing = bool | Literal["selective"]
"""False: nothing; True: all of each block; "selective": what is cheap."""

_aten = torch.ops.aten
_DEAR = {
    attention.OPERATION,
    _aten.mm.default,
    _aten.addmm.default,
    _aten._scaled_dot_product_flash_attention_for_cpu.default,
    _aten._scaled_dot_product_flash_attention.default,
    _aten._scaled_dot_product_efficient_attention.default,
    _aten._scaled_dot_product_cudnn_attention.default,
}


def recomputed(block: nn.Module, inputs: tuple[Any, ...], recomputing: Recomputing) -> Tensor:
    """``block`` of ``inputs``; the backward pass computes again what ``recomputing`` says."""
    if recomputing == "selective":
        contexts = partial(create_selective_checkpoint_contexts, _policy)
        return checkpoint(block, *inputs, use_reentrant=False, context_fn=contexts)  # pyright: ignore[reportReturnType]
    return checkpoint(block, *inputs, use_reentrant=False)  # pyright: ignore[reportReturnType]


def _policy(context: Any, operation: Any, *inputs: Any, **named: Any) -> CheckpointPolicy:
    return CheckpointPolicy.MUST_SAVE if operation in _DEAR else CheckpointPolicy.PREFER_RECOMPUTE
