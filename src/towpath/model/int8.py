"""Linear layers whose three products run in int8: forward, gradient of the input, gradient of the weight.

Every row of the left and every column of the right factor has its own scale, largest value / 127, along
the axes that a product does not sum over; so what the integers sum to is brought back by one factor a row
and one a column, exactly. As in SwitchBack (Wortsman et al. 2023, arXiv:2304.13013, section 2) and LLM.int8
(Dettmers et al. 2022, arXiv:2208.07339, section 2), but the weight's gradient is in int8 too. Rounding is to
the nearest. Weights, their gradients and what the optimizer keeps stay in the type they have.

Knows nothing of which devices gain: ``speeds`` measures. N tokens, I inputs, O outputs.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from towpath.model.kernels import int8 as kernel
from towpath.model.language_model import LanguageModel

if TYPE_CHECKING:
    from jaxtyping import Float, Int8

LARGEST = 127
_int_mm: Callable[[Tensor, Tensor], Tensor] = torch._int_mm  # pyright: ignore[reportPrivateImportUsage]
"""int8 (R, K) and (K, C) to int32 (R, C); torch has no public name for it."""
_PROBE, _REPEATS = 768, 3


def quantized(
    x: Float[Tensor, "R C"], dim: int, largest: int = LARGEST
) -> tuple[Int8[Tensor, "R C"], Float[Tensor, ...]]:
    """``x`` in integers, and its scales with ``dim``, the axis that will be summed over, kept as 1."""
    scales = x.abs().amax(dim, keepdim=True).clamp(min=1e-12) / largest
    return (x / scales).round_().to(torch.int8), scales


def product(
    left: Float[Tensor, "R K"],
    right: Float[Tensor, "K C"],
    bias: Float[Tensor, " C"] | None = None,
    *,
    out: Float[Tensor, "R C"] | None = None,
) -> Float[Tensor, "R C"]:
    """``left @ right + bias``, the product in integers; ``out`` is room that it may take."""
    if kernel.can_run(left, right, bias):
        return kernel.product(left, right, bias, out)
    return step_by_step(left, right, bias)


def step_by_step(
    left: Float[Tensor, "R K"],
    right: Float[Tensor, "K C"],
    bias: Float[Tensor, " C"] | None = None,
    largest: int = LARGEST,
) -> Float[Tensor, "R C"]:
    """``product`` by torch alone: quantised, multiplied, brought back."""
    (left_codes, left_scales), (right_codes, right_scales) = (
        quantized(left, 1, largest),
        quantized(right, 0, largest),
    )
    whole = _int_mm(left_codes.contiguous(), right_codes)
    out = whole.to(left.dtype).mul_(left_scales).mul_(right_scales.to(left.dtype))
    return out if bias is None else out.add_(bias)


class _Int8Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.with_bias = bias is not None
        return product(x, weight.T, bias)

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, grad: Tensor
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        x, weight = ctx.saved_tensors
        grad_x, grad_weight = product(grad, weight).to(x.dtype), product(grad.T, x).to(weight.dtype)
        return grad_x, grad_weight, grad.sum(0).to(weight.dtype) if ctx.with_bias else None


def int8_linear(
    x: Float[Tensor, "*N I"], weight: Float[Tensor, "O I"], bias: Float[Tensor, " O"] | None = None
) -> Float[Tensor, "*N O"]:
    """``F.linear`` with its products in int8, forward and backward."""
    rows: Any = _Int8Linear.apply(x.reshape(-1, x.shape[-1]), weight, bias)
    return rows.unflatten(0, x.shape[:-1])


def use_int8_(model: nn.Module) -> int:
    """In training every linear layer inside the blocks of ``model`` computes in int8. Returns how many.

    So do the logits of the loss, on a CPU. The gradients of the head stay as they are: a row of the loss's
    gradient has one large number, beside which all others would round to nothing. So does validation, which
    has no backward pass.
    """
    head = getattr(model, "head", None)
    layers = [part for part in model.modules() if isinstance(part, nn.Linear) and part is not head]
    for layer in layers:
        layer.product = product  # pyright: ignore[reportArgumentType]
        layer.forward = partial(_forward, layer)  # pyright: ignore[reportAttributeAccessIssue]
    if isinstance(model, LanguageModel) and model.device.type == "cpu":
        model.head_product = product
    return len(layers)


def speeds(device: torch.device) -> tuple[float, float]:
    """Billions of operations a second of an int8 product, quantising included, and of an fp32 one."""
    numbers = torch.randn(_PROBE, _PROBE, device=device)
    return _speed(lambda: product(numbers, numbers), device), _speed(lambda: numbers @ numbers, device)


def _forward(layer: nn.Linear, x: Tensor) -> Tensor:
    if layer.training and torch.is_grad_enabled():
        return int8_linear(x, layer.weight, layer.bias)
    return F.linear(x, layer.weight, layer.bias)


def _speed(work: Any, device: torch.device) -> float:
    taken = []
    for _ in range(_REPEATS):
        start = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        taken.append(time.perf_counter() - start)
    return 2 * _PROBE**3 / min(taken) / 1e9
