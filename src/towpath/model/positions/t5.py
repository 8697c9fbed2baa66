"""T5's relative bias: one learned number a head for each bucket of distances.

Raffel et al. 2019, arXiv:1910.10683, section 2.1; the buckets are those of the released code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from towpath.model.positions import PositionsConfig

if TYPE_CHECKING:
    from towpath.model.config import DecoderConfig
    from towpath.model.positions.base import Positions


class T5BiasConfig(PositionsConfig):
    """A learned number of each head and bucket of distances is added to scores (Raffel et al. 2019)."""

    type: Literal["t5"] = "t5"
    n_buckets: int = Field(default=32, ge=4)
    """Half of them for single distances, half for ever wider ranges."""
    max_distance: int = Field(default=128, ge=2)
    """All distances from this on share the last bucket."""

    def build(self, model: DecoderConfig) -> Positions:
        """See ``PositionsConfig.build``."""
        from towpath.model.positions.biases import RelativeBias

        return RelativeBias(model.n_head, self.n_buckets, self.max_distance, bidirectional=False)

    def check(self, model: DecoderConfig) -> None:
        """See ``PositionsConfig.check``."""
        if self.max_distance <= self.n_buckets // 2:
            raise ValueError(
                f"positions.max_distance = {self.max_distance} leaves no range beyond the single distances "
                f"of n_buckets = {self.n_buckets}. Try max_distance = {4 * self.n_buckets}."
            )
