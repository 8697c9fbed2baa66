"""Rotary positions for contexts longer than those trained on: the choices of ``positions.scaling``.

Comes in: the base of the angles and the width of a head. Goes out: one angle a token for each pair
of channels, and a factor for queries and keys. The numbers are those of transformers'
``modeling_rope_utils``. To add one: a section here and a line in ``SCALINGS``.

D head dimension, half = D / 2.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field

from towpath.core.catalogue import Catalogue
from towpath.core.config import Section

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

SCALINGS = Catalogue(
    "rope scaling",
    {
        "none": "towpath.model.positions.scaling:Unscaled",
        "linear": "towpath.model.positions.scaling:LinearScaling",
        "ntk": "towpath.model.positions.scaling:NtkScaling",
        "yarn": "towpath.model.positions.scaling:YarnScaling",
    },
    group="towpath.rope_scalings",
)


class RopeScaling(Section):
    """What every scaling has."""

    type: Any

    def frequencies(self, theta: float, head_width: int) -> Float[Tensor, " half"]:
        """Radians that each pair of channels turns in a token, fp32."""
        raise NotImplementedError

    @property
    def magnitude(self) -> float:
        """What rotated queries and keys are multiplied by."""
        return 1.0

    @classmethod
    def first(cls, trained_positions: int) -> dict[str, Any]:
        """The fields of a scaling that does nothing yet, for a model trained at ``trained_positions``."""
        return {"factor": 1.0}

    def stretched(self, ratio: float) -> Self:
        """This scaling for a context ``ratio`` times as long."""
        factor = getattr(self, "factor", 1.0) * ratio
        return type(self).model_validate(self.model_dump() | {"factor": factor})


class Unscaled(RopeScaling):
    """Angles as trained; beyond the trained context the model sees distances that it never learned."""

    type: Literal["none"] = "none"

    def frequencies(self, theta: float, head_width: int) -> Float[Tensor, " half"]:
        """See ``RopeScaling.frequencies``."""
        from towpath.model.rotary import frequencies

        return frequencies(theta, head_width)

    @classmethod
    def first(cls, trained_positions: int) -> dict[str, Any]:
        """See ``RopeScaling.first``."""
        return {}

    def stretched(self, ratio: float) -> Self:
        """See ``RopeScaling.stretched``."""
        return self


class LinearScaling(RopeScaling):
    """All angles divided by ``factor`` (position interpolation: Chen et al. 2023, arXiv:2306.15595)."""

    type: Literal["linear"] = "linear"
    factor: float = Field(ge=1)
    """How many times longer the context is than the trained one."""

    def frequencies(self, theta: float, head_width: int) -> Float[Tensor, " half"]:
        """See ``RopeScaling.frequencies``."""
        from towpath.model.rotary import frequencies

        return frequencies(theta, head_width) / self.factor


class NtkScaling(RopeScaling):
    """A larger base: the slowest pair is stretched by ``factor``, the fastest not at all.

    "NTK-aware" interpolation, as given by Peng et al. 2023, arXiv:2309.00071, definition 1.
    """

    type: Literal["ntk"] = "ntk"
    factor: float = Field(ge=1)
    """How many times longer the context is than the trained one."""

    def scaled_theta(self, theta: float, head_width: int) -> float:
        """The base that does it: theta * factor^(D / (D - 2))."""
        return theta * self.factor ** (head_width / max(1, head_width - 2))

    def frequencies(self, theta: float, head_width: int) -> Float[Tensor, " half"]:
        """See ``RopeScaling.frequencies``."""
        from towpath.model.rotary import frequencies

        return frequencies(self.scaled_theta(theta, head_width), head_width)


class YarnScaling(RopeScaling):
    """Fast pairs as trained, slow ones divided by ``factor``, a ramp between; scores a little sharper.

    Peng et al. 2023, arXiv:2309.00071, definitions 2 and 3 and equation 22.
    """

    type: Literal["yarn"] = "yarn"
    factor: float = Field(ge=1)
    """How many times longer the context is than the trained one."""
    original_positions: int = Field(ge=1)
    """The context in tokens that the model was trained on."""
    beta_fast: float = Field(default=32.0, gt=0)
    """Pairs that turn more often than this within the trained context stay as they are."""
    beta_slow: float = Field(default=1.0, gt=0)
    """Pairs that turn less often than this are divided by ``factor``."""
    attention_factor: float | None = Field(default=None, gt=0)
    """What queries and keys are multiplied by. Left out: 0.1 ln(factor) + 1."""

    @classmethod
    def first(cls, trained_positions: int) -> dict[str, Any]:
        """See ``RopeScaling.first``."""
        return {"factor": 1.0, "original_positions": trained_positions}

    @property
    def magnitude(self) -> float:
        """See ``RopeScaling.magnitude``."""
        return 0.1 * math.log(self.factor) + 1.0 if self.attention_factor is None else self.attention_factor

    def frequencies(self, theta: float, head_width: int) -> Float[Tensor, " half"]:
        """See ``RopeScaling.frequencies``."""
        import torch

        from towpath.model.rotary import frequencies

        def pair(turns: float) -> float:
            """The pair, as a real number, that turns so often within the trained context."""
            length = self.original_positions / (turns * 2 * math.pi)
            return head_width * math.log(length) / (2 * math.log(theta))

        low = max(math.floor(pair(self.beta_fast)), 0)
        high = min(math.ceil(pair(self.beta_slow)), head_width - 1)
        width = high - low or 0.001  # as in transformers: no division by zero
        ramp = ((torch.arange(head_width // 2).float() - low) / width).clamp(0, 1)  # (D/2,)
        plain = frequencies(theta, head_width)
        return plain / self.factor * ramp + plain * (1 - ramp)
