"""Sinusoidal positions: Vaswani et al. 2017, arXiv:1706.03762, section 3.5."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from towpath.model.positions import PositionsConfig

if TYPE_CHECKING:
    from towpath.model.config import DecoderConfig
    from towpath.model.positions.base import Positions


class SinusoidalConfig(PositionsConfig):
    """Fixed waves added to the token embedding, which is scaled by sqrt(n_embd) (Vaswani et al. 2017)."""

    type: Literal["sinusoidal"] = "sinusoidal"

    def build(self, model: DecoderConfig) -> Positions:
        """See ``PositionsConfig.build``."""
        from towpath.model.positions.added import SinusoidalPositions

        return SinusoidalPositions(model.n_positions, model.n_embd)

    def check(self, model: DecoderConfig) -> None:
        """See ``PositionsConfig.check``."""
        if model.n_embd % 2:
            raise ValueError(
                f"n_embd = {model.n_embd} is odd, and sinusoidal positions have a sine and a cosine of "
                f"each frequency. Try n_embd = {model.n_embd + 1}."
            )
