"""Samples in an order of their own: the same windows as without a curriculum, sorted by a score.

The order is competence-based (Platanios et al. 2019, arXiv:1903.09848, equations 5 and 6): a sample
whose score has the quantile q may come once the competence c(t) = sqrt(t (1 - c0^2) / pace + c0^2) has
reached q, at share t of the run. Deviation: there a batch is drawn from what may come, so that easy
samples are seen again and again; here each sample has one place, drawn evenly from what is left of
the run when it may come, so that a run with a curriculum sees just what one without sees.

The order is made once and is a table of 4 bytes a sample; a look into it takes constant time.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from towpath.core.errors import TrainError
from towpath.core.files import write_durably
from towpath.tokenizer.order import Draw, KeyedPermutation, key_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from towpath.tokenizer import Samples
    from towpath.tokenizer.samples import Span


class Reordered:
    """Sample i is ``samples``'s sample ``order[i]``."""

    def __init__(self, samples: Samples, order: NDArray[np.integer]) -> None:
        self.samples = samples
        self.order = order
        self.sources = samples.sources

    def ids(self, index: int) -> NDArray[np.int64]:
        """See ``Samples.ids``."""
        return self.samples.ids(self._place(index))

    def draw(self, index: int) -> Draw:
        """See ``Samples.draw``."""
        return self.samples.draw(self._place(index))

    def provenance(self, index: int) -> list[Span]:
        """See ``Samples.provenance``."""
        return self.samples.provenance(self._place(index))

    def _place(self, index: int) -> int:
        if not 0 <= index < len(self.order):
            raise TrainError(f"Sample {index} was asked for; the curriculum was made for {len(self.order)}.")
        return int(self.order[index])


def paced_order(
    scores: NDArray[np.floating], seed: int, pace_share: float, start_share: float
) -> NDArray[np.int32]:
    """The order of samples with ``scores`` (n,), low ones first; see the module.

    ``pace_share``: share of the run after which every sample may come; ``start_share``: quantile of
    those that may come at once (c0).
    """
    n = len(scores)
    quantiles = np.empty(n)
    quantiles[np.argsort(scores, kind="stable")] = (np.arange(n) + 0.5) / n
    start = start_share**2
    opens = pace_share * np.clip((quantiles**2 - start) / (1 - start), 0, 1)
    chance = (KeyedPermutation(n, key_of(seed, "curriculum")).many(np.arange(n)) + 0.5) / n
    return np.argsort(opens + chance * (1 - opens), kind="stable").astype(np.int32)


def kept(folder: Path | None, n_samples: int, make: Callable[[], NDArray[np.int32]]) -> NDArray[np.int32]:
    """The order out of ``folder``, or made and put there."""
    path = None if folder is None else folder / "order.npy"
    if path is not None and path.exists():
        order = np.load(path, allow_pickle=False)
        if len(order) == n_samples:
            return order
    order = make()
    if path is not None:
        content = io.BytesIO()
        np.save(content, order, allow_pickle=False)
        write_durably(path, content.getvalue())
    return order
