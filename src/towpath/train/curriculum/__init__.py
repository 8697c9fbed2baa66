"""Curricula: the named choices of ``train.curriculum``, in which order a run sees its samples.

Comes in: the samples of a run, as many as it needs. Goes out: the same interface with another order.
Sample i stays a pure function of i (docs/decisions/0004-order-as-a-keyed-permutation.md), so that a run
resumes at any step at once. To add one: a module here with its section, whose ``arranged`` gives the
samples, and a line in ``CURRICULA``. Sections start no torch.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from towpath.core.catalogue import Catalogue
from towpath.core.config import Section

if TYPE_CHECKING:
    from towpath.tokenizer import Samples
    from towpath.train.curriculum.reordered import Reordered

CURRICULA = Catalogue(
    "curriculum",
    {
        "uniform": "towpath.train.curriculum.uniform:UniformConfig",
        "difficulty": "towpath.train.curriculum.difficulty:DifficultyConfig",
        "length": "towpath.train.curriculum.length:LengthConfig",
        "domains": "towpath.train.curriculum.domains:DomainsConfig",
    },
    group="towpath.curricula",
)


class CurriculumConfig(Section):
    """What every curriculum's section has."""

    type: Any

    def check(self) -> None:
        """Refuse what is sure to fail once samples are there.

        Raises:
            DataError: a file that it needs is missing or no such file.
        """

    def arranged(
        self, samples: Samples, n_samples: int, seed: int, folder: Path | None = None
    ) -> Samples | Reordered:
        """``samples`` in the order of this curriculum, for a run that sees ``n_samples`` of them.

        ``folder`` keeps what is costly to make, for the next start of the same run.
        """
        raise NotImplementedError
