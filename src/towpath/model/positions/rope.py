"""Rotary positions: Su et al. 2021, arXiv:2104.09864; ``scaling`` stretches them to longer contexts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, cast

from pydantic import Field

from towpath.core.config import change
from towpath.model.positions import PositionsConfig
from towpath.model.positions.scaling import SCALINGS, RopeScaling, Unscaled

if TYPE_CHECKING:
    from towpath.model.config import DecoderConfig
    from towpath.model.positions.base import Positions


class RopeConfig(PositionsConfig):
    """Queries and keys are turned by their position, so that scores depend on distances (Su et al. 2021)."""

    type: Literal["rope"] = "rope"
    theta: float = Field(default=10_000.0, gt=1)
    """Base of the angles: the slowest pair turns once in about 2 pi theta tokens."""
    scaling: Annotated[RopeScaling, SCALINGS.choice("none")] = Unscaled()
    """How angles change for contexts longer than those trained on."""

    def build(self, model: DecoderConfig) -> Positions:
        """See ``PositionsConfig.build``."""
        from towpath.model.positions.rotations import RotaryPositions

        return RotaryPositions(model.n_positions, model.head_width, self.theta, self.scaling)

    def check(self, model: DecoderConfig) -> None:
        """See ``PositionsConfig.check``."""
        if model.head_width % 2:
            raise ValueError(_odd_head(model))

    def extended(self, old_positions: int, new_positions: int, scaling: str) -> PositionsConfig:
        """See ``PositionsConfig.extended``; ``scaling`` is one of ``SCALINGS``."""
        if scaling not in (self.scaling.type, "none") and self.scaling.type != "none":
            raise ValueError(
                f"these rotary positions are already scaled by {self.scaling.type!r}, and {scaling!r} "
                f"on top has no meaning. Use scaling = {self.scaling.type!r}."
            )
        kind = cast("type[RopeScaling]", SCALINGS.load(scaling))
        current = (
            self.scaling if isinstance(self.scaling, kind) else kind.model_validate(kind.first(old_positions))
        )
        longer = current.stretched(new_positions / old_positions)
        return change(self, {"scaling": {"type": scaling, **longer.model_dump(exclude={"type"})}})


def _odd_head(model: DecoderConfig) -> str:
    even = model.head_width + 1
    why = "and rotary positions turn pairs of channels"
    head_dim = getattr(model, "head_dim", None)
    if head_dim is not None:
        return f"head_dim = {head_dim} is odd, {why}. Try {even}."
    return (
        f"n_embd = {model.n_embd} over n_head = {model.n_head} makes heads of {model.head_width} "
        f"channels, an odd number, {why}. Try n_embd = {even * model.n_head}."
    )
