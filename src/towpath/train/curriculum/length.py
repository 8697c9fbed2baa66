"""By length: windows from short documents first."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from towpath.train.curriculum import CurriculumConfig

if TYPE_CHECKING:
    from towpath.tokenizer import Samples
    from towpath.train.curriculum.reordered import Reordered


class PacedConfig(CurriculumConfig):
    """What every curriculum that sorts samples by a score has."""

    pace_share: float = Field(default=0.5, gt=0, le=1)
    """Share of the run after which every sample may come."""
    start_share: float = Field(default=0.1, gt=0, lt=1)
    """Share of the samples, the easiest, that may come at once."""
    reverse: bool = False
    """The highest scores first."""

    def score(self, samples: Samples, index: int) -> float:
        """Of sample ``index``; low ones come first.

        Raises:
            DataError: it can't be known.
        """
        raise NotImplementedError

    def arranged(self, samples: Samples, n_samples: int, seed: int, folder: Path | None = None) -> Reordered:
        """See ``CurriculumConfig.arranged``. A window that comes again is looked at once."""
        import numpy as np

        from towpath.train.curriculum.reordered import Reordered, kept, paced_order

        def order() -> np.ndarray:
            known: dict[tuple[str, int], float] = {}
            scores = np.empty(n_samples)
            for index in range(n_samples):
                draw = samples.draw(index)
                window = (draw.source, draw.window)
                if window not in known:
                    known[window] = self.score(samples, index)
                scores[index] = known[window]
            return paced_order(-scores if self.reverse else scores, seed, self.pace_share, self.start_share)

        return Reordered(samples, kept(folder, n_samples, order))


class LengthConfig(PacedConfig):
    """Short documents first."""

    type: Literal["length"] = "length"

    def score(self, samples: Samples, index: int) -> float:
        """Tokens of the document that a token of the window is in, on average."""
        return samples.document_tokens(index)
