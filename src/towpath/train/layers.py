"""The gradient's norm of each layer: where in the model a spike comes from.

A group is one block (``blocks.3``), or what is no block (``tokens``, ``norm``). One pass over the
gradients, and a number a block is moved to the host; some ten microseconds a tensor.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping

import torch
from torch import Tensor, nn

_BLOCK = re.compile(r"^(?:module\.|_orig_mod\.)*(.*?\d+|[^.]+)(?:\.|$)")


@torch.no_grad()
def layer_norms(model: nn.Module, grad_norm: float, max_grad_norm: float) -> Mapping[str, float]:
    """``train/grad_norm/<layer>`` of each layer, before clipping. All processes of a job call it.

    ``grad_norm``: of all gradients before they were clipped to ``max_grad_norm``.
    """
    from torch.distributed.tensor import DTensor

    squares: dict[str, list[Tensor]] = defaultdict(list)
    for name, parameter in model.named_parameters():
        if parameter.grad is not None:
            norm = torch.linalg.vector_norm(parameter.grad.float())
            whole = norm.full_tensor() if isinstance(norm, DTensor) else norm
            squares[layer_of(name)].append(whole.square())
    clipped = max(1.0, grad_norm / max_grad_norm)
    return {
        f"train/grad_norm/{name}": clipped * float(torch.stack(values).sum().sqrt())
        for name, values in squares.items()
    }


def layer_of(name: str) -> str:
    """The layer that the parameter ``name`` belongs to.

    >>> layer_of("blocks.3.attention.query.weight"), layer_of("tokens.weight")
    ('blocks.3', 'tokens')
    """
    found = _BLOCK.match(name)
    return found[1] if found else name
