"""Prefix language modelling: the first tokens see each other, the rest are predicted one by one.

Dong et al. 2019 (UniLM), arXiv:1905.03197, section 3.1; Raffel et al. 2020, arXiv:1910.10683,
section 3.2.1, figure 4. The length of the prefix is drawn evenly, from 1 to all tokens but one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from towpath.train.objectives import ObjectiveConfig
from towpath.train.objectives.drawing import IGNORED, generator

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from towpath.tokenizer import Tokenizer


class PrefixConfig(ObjectiveConfig):
    """The rest of a window after a prefix of random length, which is seen in both directions."""

    families = ("decoder",)
    type: Literal["prefix_lm"] = "prefix_lm"

    def window_ids(self, context_tokens: int) -> int:
        """See ``ObjectiveConfig.window_ids``: nothing is predicted after the last, so there is one more."""
        return context_tokens + 1

    def examples(self, tokenizer: Tokenizer, seed: int) -> PrefixExamples:
        """See ``ObjectiveConfig.examples``."""
        return PrefixExamples(seed)


class PrefixExamples:
    """Windows with a prefix each, whose length depends on seed and index alone."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def arrays(self, ids: NDArray[np.int64], indices: Sequence[int]) -> dict[str, NDArray[np.int64]]:
        """See ``Examples.arrays``."""
        n_ids = ids.shape[1]
        lengths = np.array([self.prefix_tokens(index, n_ids) for index in indices])
        in_prefix = np.arange(n_ids) < lengths[:, None]  # (B, L)
        return {
            "input_ids": ids,
            "labels": np.where(in_prefix, IGNORED, ids),
            "prefix_tokens": lengths,
        }

    def targets(self, index: int, n_ids: int) -> int:
        """See ``Examples.targets``."""
        return n_ids - self.prefix_tokens(index, n_ids)

    def prefix_tokens(self, index: int, n_ids: int) -> int:
        """Length of the prefix of sample ``index``."""
        return int(generator(self.seed, "prefix_lm", index).integers(1, n_ids))
