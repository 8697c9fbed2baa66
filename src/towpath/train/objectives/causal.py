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

    def window_ids(self, context_tokens: int) -> int:
        """See ``ObjectiveConfig.window_ids``: nothing is predicted after the last, so there is one more."""
        return context_tokens + 1

    def examples(self, tokenizer: Tokenizer, seed: int) -> CausalExamples:
        """See ``ObjectiveConfig.examples``."""
        return CausalExamples()


class CausalExamples:
    """Windows as they are."""

    def arrays(self, ids: NDArray[np.int64], indices: Sequence[int]) -> dict[str, NDArray[np.int64]]:
        """See ``Examples.arrays``: a decoder shifts the labels itself."""
        return {"input_ids": ids, "labels": ids}

    def targets(self, index: int, n_ids: int) -> int:
        """See ``Examples.targets``."""
        return n_ids - 1
