"""Packed windows: which document each token belongs to, and its place in it.

With both, each document of a window gives what it would give alone.

B batch, T tokens.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from jaxtyping import Int


def documents_of(ids: Int[Tensor, "B T"], end_of_text: int) -> Int[Tensor, "B T"]:
    """The number of each token's document in its row, from 0; ``end_of_text`` is the last of its own."""
    ends = (ids == end_of_text).long()
    return ends.cumsum(1) - ends


def places_in_documents(documents: Int[Tensor, "B T"]) -> Int[Tensor, "B T"]:
    """How many tokens of its document stand before each token; a document is a run of equal numbers."""
    places = torch.arange(documents.shape[1], device=documents.device).expand_as(documents)
    begins = torch.ones_like(documents, dtype=torch.bool)
    begins[:, 1:] = documents[:, 1:] != documents[:, :-1]
    return places - places.where(begins, 0).cummax(1).values
