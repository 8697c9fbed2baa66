"""Learned positions: one vector a position, added to the token embedding (Radford et al. 2018)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from towpath.model.positions import PositionsConfig

if TYPE_CHECKING:
    from towpath.model.config import DecoderConfig
    from towpath.model.positions.base import Positions


class LearnedConfig(PositionsConfig):
    """One learned vector a position, added to the token embedding (GPT-2)."""

    type: Literal["learned"] = "learned"

    def build(self, model: DecoderConfig) -> Positions:
        """See ``PositionsConfig.build``."""
        from towpath.model.positions.added import LearnedPositions

        return LearnedPositions(model.n_positions, model.n_embd)

    def extended(self, old_positions: int, new_positions: int, scaling: str) -> PositionsConfig:
        """Refused: positions beyond those trained have no vector.

        Raises:
            ValueError: always; ``interpolate`` resizes the table for further training.
        """
        if new_positions == old_positions:
            return self
        raise ValueError(
            f"learned positions end at {old_positions}, so {new_positions} have no vectors. Stretch the "
            "trained table with towpath.model.extend.interpolated and train on, or train with "
            'positions.type = "rope".'
        )
