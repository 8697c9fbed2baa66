"""Causal: every token from those before it (Radford et al. 2018)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from towpath.train.objectives import ObjectiveConfig

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from towpath.tokenizer import Tokenizer


class CausalConfig(ObjectiveConfig):
    """Every token of a window after its first, from those before it."""

    families = ("decoder",)
    type: Literal["causal"] = "causal"
    document_mask: bool = False
    """Tokens see none of another document of their window, and positions begin anew in each."""

    def window_ids(self, context_tokens: int) -> int:
        """See ``ObjectiveConfig.window_ids``: nothing is predicted after the last, so there is one more."""
        return context_tokens + 1

    def examples(self, tokenizer: Tokenizer, seed: int) -> CausalExamples:
        """See ``ObjectiveConfig.examples``."""
        return CausalExamples(tokenizer.end_of_text if self.document_mask else None)


class CausalExamples:
    """Windows as they are; where ``end_of_text`` is given, with each token's document and place in it."""

    def __init__(self, end_of_text: int | None = None) -> None:
        self.end_of_text = end_of_text

    def arrays(self, ids: NDArray[np.int64], indices: Sequence[int]) -> dict[str, NDArray[np.int64]]:
        """See ``Examples.arrays``: a decoder shifts the labels itself."""
        arrays = {"input_ids": ids, "labels": ids}
        return arrays if self.end_of_text is None else arrays | _documents(ids, self.end_of_text)

    def targets(self, index: int, n_ids: int) -> int:
        """See ``Examples.targets``."""
        return n_ids - 1


def _documents(ids: NDArray[np.int64], end_of_text: int) -> dict[str, NDArray[np.int64]]:
    import torch

    from towpath.model.documents import documents_of, places_in_documents

    documents = documents_of(torch.from_numpy(ids), end_of_text)
    return {"documents": documents.numpy(), "places": places_in_documents(documents).numpy()}
