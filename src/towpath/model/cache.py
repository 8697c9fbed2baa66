"""Key-value cache: what attention computed for earlier tokens, kept for the next ones.

Allocated once for ``max_tokens``, so that a long answer never copies it. All rows of a batch stand
at the same position. A ``RollingCache`` forgets, so that a text may go on for ever.

B batch, K key-value heads, T new tokens, S tokens so far with the new ones, D head dimension.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from towpath.core.errors import ModelError

if TYPE_CHECKING:
    from jaxtyping import Float, Int


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


class RollingCache(KeyValueCache):
    """The first ``sink_tokens`` and the newest tokens (Xiao et al. 2023, arXiv:2309.17453, section 3.2).

    Once full, each new token takes the slot of the oldest that is no sink. Keys are kept unturned:
    positions are counted inside the cache, so a key's position falls as tokens before it go.
    """

    def __init__(
        self,
        shape: tuple[int, int, int, int, int],
        *,
        sink_tokens: int,
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        """As ``KeyValueCache``; "max tokens" of ``shape`` is sinks and window together."""
        super().__init__(shape, dtype=dtype, device=device)
        self.sink_tokens = sink_tokens
        self.n_seen = 0
        """Tokens ever given to it."""

    def check_room(self, batch: int, n_tokens: int) -> None:
        """Refuse several tokens at once where some would have to go; see ``KeyValueCache.check_room``.

        Raises:
            ModelError: with both numbers.
        """
        super().check_room(batch, n_tokens if n_tokens > 1 else 0)

    def places(self, n_new: int) -> Int[Tensor, " S"]:
        """The position inside the cache of what each slot will hold once ``n_new`` tokens are appended."""
        total = self.n_seen + n_new
        slots = torch.arange(min(total, self.max_tokens), device=self.keys.device)
        if total <= self.max_tokens:
            return slots
        oldest = self._slot(total)  # the next to go
        window = self.max_tokens - self.sink_tokens
        turned = self.sink_tokens + (slots - oldest) % window
        return torch.where(slots < self.sink_tokens, slots, turned)

    def append(
        self, layer: int, keys: Float[Tensor, "B K T D"], values: Float[Tensor, "B K T D"]
    ) -> tuple[Float[Tensor, "B K S D"], Float[Tensor, "B K S D"]]:
        """See ``KeyValueCache.append``; keys and values are in the order of slots, see ``places``."""
        if self.n_seen < self.max_tokens:
            return super().append(layer, keys, values)
        slot = self._slot(self.n_seen)
        self.keys[layer, :, :, slot : slot + 1] = keys
        self.values[layer, :, :, slot : slot + 1] = values
        return self.keys[layer], self.values[layer]

    def advance(self, n_tokens: int) -> None:
        """See ``KeyValueCache.advance``."""
        self.n_seen += n_tokens
        self.n_tokens = min(self.n_seen, self.max_tokens)

    def _slot(self, number: int) -> int:
        """Where token ``number`` of the text goes."""
        if number < self.max_tokens:
            return number
        window = self.max_tokens - self.sink_tokens
        return self.sink_tokens + (number - self.sink_tokens) % window
