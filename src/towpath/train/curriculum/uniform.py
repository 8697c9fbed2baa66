"""No curriculum: samples are drawn by the weights of their sources, in a random order."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from towpath.train.curriculum import CurriculumConfig

if TYPE_CHECKING:
    from towpath.tokenizer import Samples


class UniformConfig(CurriculumConfig):
    """The order as it is."""

    type: Literal["uniform"] = "uniform"

    def arranged(self, samples: Samples, n_samples: int, seed: int, folder: Path | None = None) -> Samples:
        """See ``CurriculumConfig.arranged``."""
        return samples
