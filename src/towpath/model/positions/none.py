"""No positions: causal attention alone tells order (Kazemnejad et al. 2023, arXiv:2305.19466)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from towpath.model.positions import PositionsConfig

if TYPE_CHECKING:
    from towpath.model.config import DecoderConfig
    from towpath.model.positions.base import Positions


class NoPositionsConfig(PositionsConfig):
    """No position encoding; a causal decoder finds order by itself (Kazemnejad et al. 2023)."""

    type: Literal["none"] = "none"

    def build(self, model: DecoderConfig) -> Positions:
        """See ``PositionsConfig.build``."""
        from towpath.model.positions.base import Positions

        return Positions()
