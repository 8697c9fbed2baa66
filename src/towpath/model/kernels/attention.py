"""Attention and its gradients, the scores of 64 queries at a time in the cache (``attention.cpp``).

Causal or not, in fp32 on a CPU. Forward as in FlashAttention-2 (Dao 2023, arXiv:2307.08691,
sections 3.1 and 3.2): kept are the inputs, the result and one number a query, the log of the sum of its
exponentials; the scores are computed again on the way back. Other than there a block of queries meets all its
keys at once, as on a CPU they fit. Products are torch's own BLAS, called from inside, so that the many small
ones cost nothing else. The number of threads changes no bit.

B batch, H query heads, K key-value heads, T queries, S keys, D head dimension.
"""

from __future__ import annotations

import ctypes
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from towpath.core.native import library

if TYPE_CHECKING:
    from jaxtyping import Float

BLOCK_QUERIES = 64
"""As the kernel's BLOCK. 32 to 128 were equally fast at 256, 1,024 and 2,048 tokens, 256 slower."""


@torch.library.custom_op("towpath::attention", mutates_args=(), device_types="cpu")
def attention(q: Tensor, k: Tensor, v: Tensor, causal: bool, scale: float) -> tuple[Tensor, Tensor]:
    """What is gathered, and the log of the sum of exponentials (B, H, T).

    An operation of torch's own kind, so that selective checkpointing can keep what it gives.
    """
    q, k, v = (_side_by_side(x) for x in (q, k, v))
    out, lse = _tokens_first(q), q.new_empty(q.shape[:3])
    call = _Call.of(q, k, v, causal=causal, scale=scale)
    call.lse, call.out = lse.data_ptr(), _View.of(out)
    call.run("attention")
    return out, lse


@torch.library.custom_op("towpath::attention_back", mutates_args=(), device_types="cpu")
def attention_back(
    grad_out: Tensor, q: Tensor, k: Tensor, v: Tensor, out: Tensor, lse: Tensor, causal: bool, scale: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of queries, keys and values."""
    grad_out, q, k, v = (_side_by_side(x) for x in (grad_out, q, k, v))
    grads = _tokens_first(q), _tokens_first(k), _tokens_first(v)
    call = _Call.of(q, k, v, causal=causal, scale=scale)
    call.lse, call.out, call.grad_out = lse.data_ptr(), _View.of(out), _View.of(grad_out)
    call.grad_q, call.grad_k, call.grad_v = map(_View.of, grads)
    call.run("attention_back")
    return grads


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    *tensors, ctx.causal, ctx.scale = inputs
    ctx.mark_non_differentiable(output[1])
    ctx.save_for_backward(*tensors, *output)


def _back(ctx: Any, grad_out: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
    return *attention_back(grad_out, *ctx.saved_tensors, ctx.causal, ctx.scale), None, None


attention.register_autograd(_back, setup_context=_keep)
OPERATION: Any = torch.ops.towpath.attention.default


class _View(ctypes.Structure):
    """``View`` of the kernel."""

    _fields_ = (
        ("start", ctypes.c_void_p),
        ("batch", ctypes.c_int64),
        ("head", ctypes.c_int64),
        ("token", ctypes.c_int64),
    )

    @classmethod
    def of(cls, x: Float[Tensor, "B H T D"]) -> _View:
        """Where its numbers lie."""
        return cls(x.data_ptr(), *x.stride()[:3])


class _Call(ctypes.Structure):
    """``Call`` of the kernel."""

    _fields_ = (
        *(
            (name, ctypes.c_int64)
            for name in ("batches", "heads", "kv_heads", "queries", "keys", "width", "threads", "causal")
        ),
        ("scale", ctypes.c_float),
        ("sgemm", ctypes.c_void_p),
        ("room", ctypes.c_void_p),
        ("lse", ctypes.c_void_p),
        *((name, _View) for name in ("q", "k", "v", "out", "grad_out", "grad_q", "grad_k", "grad_v")),
    )

    @classmethod
    def of(cls, q: Tensor, k: Tensor, v: Tensor, *, causal: bool, scale: float) -> _Call:
        """What forward and backward have in common."""
        if not q.dtype == k.dtype == v.dtype == torch.float32:
            raise TypeError(f"The attention kernel takes fp32 alone, not {q.dtype}, {k.dtype} and {v.dtype}.")
        (batch, n_head, n_queries, width), (_, n_kv_head, n_keys, _) = q.shape, k.shape
        threads = min(torch.get_num_threads(), batch * n_kv_head)
        sizes = (batch, n_head, n_kv_head, n_queries, n_keys, width, threads, causal)
        return cls(*sizes, scale, _sgemm(), q=_View.of(q), k=_View.of(k), v=_View.of(v))

    def run(self, name: str) -> None:
        """Call the kernel's function ``name``."""
        room = torch.empty(self.threads, 2, BLOCK_QUERIES, self.keys)
        self.room = room.data_ptr()
        getattr(_kernel(), name)(ctypes.byref(self))


def _side_by_side(x: Tensor) -> Tensor:
    return x if x.stride(3) == 1 and x.stride(2) >= x.shape[3] else x.contiguous()


def _tokens_first(like: Float[Tensor, "B H T D"]) -> Float[Tensor, "B H T D"]:
    """Room for as many numbers, where a token's heads lie side by side as a projection wants them."""
    batch, n_head, n_tokens, width = like.shape
    return like.new_empty(batch, n_tokens, n_head, width).transpose(1, 2)


def _kernel() -> ctypes.CDLL | None:
    return library("towpath.model.kernels", "attention")


def unavailable() -> str | None:
    """Why the kernel can't run here; None: it can."""
    if _kernel() is None:
        return "it is not compiled here"
    if _sgemm() is None:
        return "this torch offers no product of matrices to call"
    return None


@cache
def _sgemm() -> int | None:
    """Address of the product of matrices that torch itself calls; None where it has none to offer."""
    path = Path(torch.__file__).parent / "lib" / "libtorch_cpu.so"
    found = getattr(ctypes.CDLL(str(path)), "sgemm_", None) if path.exists() else None
    return None if found is None else ctypes.cast(found, ctypes.c_void_p).value
