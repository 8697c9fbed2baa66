"""Feed-forward layers: what a block does to each token on its own.

``FeedForward``: GPT-2's two matrices around an activation. ``SwiGLU``: Shazeer 2020,
arXiv:2002.05202, equation 6, without biases; gate and up projection are one matrix.

B batch, T tokens, C width.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import torch.nn.functional as F
from torch import Tensor, nn

from towpath.model.kernels.gelu import can_run, gelu_linear
from towpath.model.linear import FusedLinear

if TYPE_CHECKING:
    from jaxtyping import Float

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": F.gelu,
    "gelu_new": partial(F.gelu, approximate="tanh"),
    "relu": F.relu,
}
"""GPT-2's choices, by the names that transformers gives them."""


class FeedForward(nn.Module):
    """Widen, activate, narrow."""

    def __init__(self, n_embd: int, inner_width: int, activation: str) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[activation]
        self.up = nn.Linear(n_embd, inner_width)
        self.out = nn.Linear(inner_width, n_embd)

    def forward(self, x: Float[Tensor, "B T C"]) -> Float[Tensor, "B T C"]:
        """Each token's new channels."""
        widened = self.up(x)
        if self.activation is F.gelu and can_run(widened, self.out):
            return gelu_linear(widened, self.out)
        return self.out(self.activation(widened))


class SwiGLU(nn.Module):
    """Widen twice, let one half gate the other, narrow."""

    def __init__(self, n_embd: int, inner_width: int) -> None:
        super().__init__()
        self.gate_up = FusedLinear(n_embd, (inner_width, inner_width), bias=False)
        self.out = nn.Linear(inner_width, n_embd, bias=False)

    def forward(self, x: Float[Tensor, "B T C"]) -> Float[Tensor, "B T C"]:
        """Each token's new channels."""
        gate, up = self.gate_up.parts(x)
        return self.out(F.silu(gate) * up)
