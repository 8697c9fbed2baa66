"""What one tensor operation costs, from the shapes of what it reads and writes.

Floating-point operations are counted for matrix products and attention alone, two for each
multiplication with its addition. Bytes are those of each tensor read or written once. Views cost
nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

_aten = torch.ops.aten
_PRODUCTS = {_aten.mm, _aten.bmm, _aten.addmm, _aten.addmm_, _aten.baddbmm, _aten.baddbmm_, _aten._int_mm}
WIDE = 256
"""Rows, columns or terms from which a product is as fast as it gets."""
_ATTENTION = {
    _aten._scaled_dot_product_flash_attention_for_cpu: 2,
    _aten._scaled_dot_product_flash_attention: 2,
    _aten._scaled_dot_product_flash_attention_for_cpu_backward: 5,
    _aten._scaled_dot_product_flash_attention_backward: 5,
}
"""How many products of queries with keys: Dao 2023, arXiv:2307.08691, section 3.1 (the backward pass
makes the scores again)."""
_SLOW = {
    "gelu",
    "gelu_backward",
    "silu",
    "silu_backward",
    "exp",
    "log",
    "pow",
    "tanh",
    "erf",
    "rsqrt",
    "sqrt",
}
_SLOW |= {"softmax", "_softmax", "_safe_softmax", "_log_softmax", "_softmax_backward_data"}
_SLOW |= {"sin", "cos", "embedding_dense_backward", "scatter_add_", "gather"}
"""Operations that compute more than they move."""
_RANDOM = {"bernoulli_", "native_dropout"}
"""Operations that draw a random number for each that they write."""


@dataclass
class Costs:
    """What operations cost together."""

    product_flops: float = 0
    """Of matrix products whose every side is at least ``WIDE``."""
    narrow_product_flops: float = 0
    """Of other matrix products, which reach less of the processor's speed."""
    attention_flops: float = 0
    """Of fused attention; a causal kernel leaves about half of them out."""
    bytes: float = 0
    """Read and written by operations that do little else."""
    slow_bytes: float = 0
    """Read and written by operations that compute an exponential or look things up for each number."""
    random_bytes: float = 0
    """Read and written by operations that draw random numbers: dropout."""
    new_bytes: float = 0
    """Of memory taken."""
    operations: float = 0
    """Number of operations that do something."""

    @property
    def flops(self) -> float:
        """Of products and attention."""
        return self.product_flops + self.narrow_product_flops + self.attention_flops

    def add(self, other: Costs, times: float = 1) -> None:
        """Add ``times`` the ``other``."""
        for name, value in vars(other).items():
            if value:
                setattr(self, name, getattr(self, name) + times * value)

    def plus(self, other: Costs, times: float = 1) -> Costs:
        """A sum; these stay as they are."""
        both = replace(self)
        both.add(other, times)
        return both


def costs_of(function: Any, read: Sequence[Tensor], written: Sequence[Tensor], new_bytes: int) -> Costs:
    """What one call of ``function`` costs."""
    changes = function._schema.is_mutable
    if not new_bytes and not changes:
        return Costs()  # a view, or nothing
    moved = sum(_bytes(tensor) for tensor in (*read, *written))
    packet = function.overloadpacket
    if packet in _PRODUCTS:
        inputs = read[:-1] if function._overloadname == "out" else read  # the place of the result is last
        matrices = [tensor for tensor in inputs if tensor.dim() >= 2][-2:]
        columns = matrices[1].shape[-1]
        narrow = min(*matrices[0].shape[-2:], columns) < WIDE
        name = "narrow_product_flops" if narrow else "product_flops"
        flops = {name: 2 * matrices[0].numel() * columns}
        return Costs(**flops, bytes=moved, new_bytes=new_bytes, operations=1)
    if packet in _ATTENTION:
        start = 0 if _ATTENTION[packet] == 2 else 1  # the backward pass reads the gradient first
        query, key = read[start], read[start + 1]
        flops = 2 * _ATTENTION[packet] * query.numel() * key.shape[-2]
        return Costs(attention_flops=flops, bytes=moved, new_bytes=new_bytes, operations=1)
    if packet.__name__ in _SLOW:
        return Costs(slow_bytes=moved, new_bytes=new_bytes, operations=1)
    if packet.__name__ in _RANDOM:
        return Costs(random_bytes=moved, new_bytes=new_bytes, operations=1)
    return Costs(bytes=moved, new_bytes=new_bytes, operations=1)


def _bytes(tensor: Tensor) -> int:
    """Of what the tensor shows: a number repeated over a dimension is read once."""
    size = tensor.element_size()
    for length, stride in zip(tensor.shape, tensor.stride(), strict=True):
        size *= length if stride else 1
    return size
