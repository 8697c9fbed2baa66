"""What a decoder asks of its position encoding.

A part answers all questions, so that a decoder does not know which kind it has. Tokens stand one
after the other from ``start`` on, or, where documents are packed, at the ``places`` given for each.

B batch, T tokens, S keys, C width, H query heads, D any dimensions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from towpath.model.rotary import Rotation

if TYPE_CHECKING:
    from jaxtyping import Float, Int


class Positions(nn.Module):
    """An encoding that adds nothing: tokens have no order. Others override what they need."""

    adds = False
    """Whether embeddings are changed. Such tokens can't be given another place later."""
    biases_scores = False
    """Whether ``at_distance`` says anything."""

    def add(
        self, x: Float[Tensor, "B T C"], start: int, places: Int[Tensor, "B T"] | None = None
    ) -> Float[Tensor, "B T C"]:
        """Token embeddings ``x``, the first at position ``start``, with what the encoding adds."""
        return x

    def rotation(
        self, start: int, n_tokens: int, places: Int[Tensor, "*B T"] | None = None
    ) -> Rotation | None:
        """How queries and keys of positions from ``start`` are turned. None: not at all."""

    def at_distance(self, distance: Int[Tensor, "*D"]) -> Float[Tensor, " H *D"]:
        """What is added to the score of a key ``distance`` tokens after its query.

        Asked of encodings with ``biases_scores`` alone.
        """
        raise NotImplementedError

    def bias(self, start: int, n_tokens: int) -> Float[Tensor, "H T S"] | None:
        """What is added to scores of T queries from ``start`` and S = start + T keys. None: nothing."""
        if not self.biases_scores:
            return None
        device = next(iter([*self.parameters(), *self.buffers()])).device
        keys = torch.arange(start + n_tokens, device=device)
        return self.at_distance(keys - keys[start:].unsqueeze(1))

    def fill_(self) -> None:
        """Set what is computed and not learned, once the encoding lies on a real device."""
