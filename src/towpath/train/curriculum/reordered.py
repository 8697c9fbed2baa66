"""Samples in an order of their own: the same windows as without a curriculum, sorted by a score.

The order is competence-based (Platanios et al. 2019, arXiv:1903.09848, equations 5 and 6): a sample
whose score has the quantile q may come once the competence c(t) = sqrt(t (1 - c0^2) / pace + c0^2) has
reached q, at share t of the run. Deviation: there a batch is drawn from what may come, so that easy
samples are seen again and again; here it is drawn from those of them that have not come yet, so that a
run with a curriculum sees just what one without sees.

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
    easy_first = np.argsort(scores, kind="stable")
    shares = np.arange(n) / n
    competence = np.sqrt(np.minimum(shares / pace_share, 1) * (1 - start_share**2) + start_share**2)
    allowed = np.maximum(np.ceil(competence * n), np.arange(1, n + 1)).astype(np.int64).clip(max=n)
    chances = KeyedPermutation(1 << 32, key_of(seed, "curriculum")).many(np.arange(n)) / 2**32
    order, waiting, opened = np.empty(n, np.int32), [], 0
    for place in range(n):
        waiting += easy_first[opened : allowed[place]].tolist()
        opened = int(allowed[place])
        chosen = int(chances[place] * len(waiting))
        order[place] = waiting[chosen]
        waiting[chosen] = waiting[-1]
        waiting.pop()
    return order


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
