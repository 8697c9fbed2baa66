"""Key-value cache: what attention computed for earlier tokens, kept for the next ones.

Allocated once for ``max_tokens``, so that a long answer never copies it. All rows of a batch stand
at the same position.

B batch, K key-value heads, T new tokens, S tokens so far with the new ones, D head dimension.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from towpath.core.errors import ModelError

if TYPE_CHECKING:
    from jaxtyping import Float


class KeyValueCache:
    """Keys and values of every layer. ``n_tokens`` is how many tokens it holds."""

    def __init__(
        self,
        shape: tuple[int, int, int, int, int],
        *,
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        """Allocate for ``shape`` = (layers, batch, key-value heads, max tokens, head dimension)."""
        self.keys = torch.zeros(shape, dtype=dtype, device=device)
        self.values = torch.zeros(shape, dtype=dtype, device=device)
        self.n_tokens = 0

    @property
    def max_tokens(self) -> int:
        """How many tokens fit."""
        return self.keys.shape[3]

    def check_room(self, batch: int, n_tokens: int) -> None:
        """Refuse a pass of ``batch`` rows and ``n_tokens`` tokens that does not fit.

        Raises:
            ModelError: with both numbers.
        """
        if self.n_tokens + n_tokens > self.max_tokens:
            raise ModelError(
                f"The cache holds {self.n_tokens} of at most {self.max_tokens} tokens; {n_tokens} more "
                f"do not fit. Make it with max_tokens={self.n_tokens + n_tokens} or more."
            )
        if batch != self.keys.shape[1]:
            raise ModelError(
                f"The cache was made for a batch of {self.keys.shape[1]}, not {batch}. "
                f"Make one with batch={batch}."
            )

    def append(
        self, layer: int, keys: Float[Tensor, "B K T D"], values: Float[Tensor, "B K T D"]
    ) -> tuple[Float[Tensor, "B K S D"], Float[Tensor, "B K S D"]]:
        """Write one layer's new keys and values; gives all of that layer so far, the new included."""
        stop = self.n_tokens + keys.shape[2]
        self.keys[layer, :, :, self.n_tokens : stop] = keys
        self.values[layer, :, :, self.n_tokens : stop] = values
        return self.keys[layer, :, :, :stop], self.values[layer, :, :, :stop]

    def advance(self, n_tokens: int) -> None:
        """Count ``n_tokens`` as held, once every layer has appended them."""
        self.n_tokens += n_tokens
