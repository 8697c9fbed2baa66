"""Phases: a mixture of sources whose weights change at given samples, still a pure function of the index.

Comes in: phases, each with its first sample and its weights. Goes out: what ``Mixture`` gives, for any
index, in constant time. A source goes on in each phase where the one before left it, so that every
window is seen once before any is seen again, whatever the weights are in between.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence

from towpath.core.errors import ConfigError
from towpath.tokenizer.order import Draw, Mixture


class PhasedMixture:
    """``mixture[i]`` by the weights in force at sample i; ``phases`` are (first sample, weights) in order.

    Raises:
        ConfigError: the first phase does not begin at 0, or they are not in order.
    """

    def __init__(
        self, sizes: Mapping[str, int], phases: Sequence[tuple[int, Mapping[str, float]]], seed: int
    ) -> None:
        self.firsts = [first for first, _ in phases]
        if not phases or self.firsts[0] != 0 or self.firsts != sorted(set(self.firsts)):
            raise ConfigError(
                f"Phases of a mixture begin at samples {self.firsts}; give 0 and then later ones."
            )
        self.sizes = dict(sizes)
        self.mixtures = [Mixture(sizes, weights, seed) for _, weights in phases]
        self.before: list[dict[str, int]] = [dict.fromkeys(sizes, 0)]
        """How many samples of each source come before each phase."""
        for mixture, first, end in zip(self.mixtures, self.firsts, self.firsts[1:], strict=False):
            drawn = {name: mixture.count(name, end - first) for name in sizes}
            self.before.append({name: self.before[-1][name] + drawn[name] for name in sizes})

    @property
    def slots(self) -> dict[str, int]:
        """The most that each source has of a block in any phase."""
        return {name: max(mixture.slots[name] for mixture in self.mixtures) for name in self.sizes}

    def __getitem__(self, index: int) -> Draw:
        if index < 0:
            raise IndexError(f"index {index} is negative")
        phase = bisect_right(self.firsts, index) - 1
        mixture = self.mixtures[phase]
        name, turn = mixture.turn(index - self.firsts[phase])
        return mixture.drawn(name, self.before[phase][name] + turn)
