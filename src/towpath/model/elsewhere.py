"""Windows of which a decoder is given some tokens alone: the rest lie elsewhere, in other processes.

Comes in: ``Decoder.elsewhere``, which training sets around a pass. Goes out: keys and values of the
whole window for attention, so that a decoder knows nothing of processes.

B batch, K key-value heads, S tokens of the window, t those that are here, D head dimension.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

import torch
from torch import Tensor

if TYPE_CHECKING:
    from jaxtyping import Float, Int


@runtime_checkable
class Elsewhere(Protocol):
    """What a decoder asks for."""

    n_keys: int
    """S: the tokens of the window."""

    def places(self, device: torch.device) -> Int[Tensor, " t"]:
        """The places in the window of the tokens that are here; some may be there twice."""
        ...

    def whole(self, value: Int[Tensor, "B t"]) -> Int[Tensor, "B S"]:
        """A number a token, of all tokens in order."""
        ...

    def append(
        self, layer: int, keys: Float[Tensor, "B K t D"], values: Float[Tensor, "B K t D"]
    ) -> tuple[Float[Tensor, "B K S D"], Float[Tensor, "B K S D"]]:
        """Keys and values of all tokens in order."""
        ...
