"""ALiBi: scores fall with distance, by a slope a head (Press et al. 2021, arXiv:2108.12409)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from towpath.model.positions import PositionsConfig

if TYPE_CHECKING:
    from towpath.model.config import DecoderConfig
    from towpath.model.positions.base import Positions


class AlibiConfig(PositionsConfig):
    """Scores fall linearly with distance, by a slope of each head (Press et al. 2021)."""

    type: Literal["alibi"] = "alibi"

    def build(self, model: DecoderConfig) -> Positions:
        """See ``PositionsConfig.build``."""
        from towpath.model.positions.biases import AlibiPositions

        return AlibiPositions(model.n_head)


def alibi_slopes(n_head: int) -> list[float]:
    """Slope of each head: a geometric series; beyond a power of 2, every other of the next series.

    Press et al. 2021, section 3 and the released code.
    """
    power = 1 << (n_head.bit_length() - 1)
    slopes = [2.0 ** (-8.0 * (head + 1) / power) for head in range(power)]
    between = [2.0 ** (-4.0 * (head + 1) / power) for head in range(0, 2 * power, 2)]
    return slopes + between[: n_head - power]
