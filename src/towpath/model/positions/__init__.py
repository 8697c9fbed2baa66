"""Position encodings: the named choices of ``model.positions``.

Comes in: the section of a model. Goes out: a ``Positions`` part that says what is added to
embeddings, how heads are turned, and what is added to scores. To add one: a module here with its
section, whose ``build`` makes the part, and a line in ``POSITIONS``. Sections start no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from towpath.core.catalogue import Catalogue
from towpath.core.config import Section

if TYPE_CHECKING:
    from towpath.model.config import DecoderConfig
    from towpath.model.positions.base import Positions as Positions

POSITIONS = Catalogue(
    "position encoding",
    {
        "learned": "towpath.model.positions.learned:LearnedConfig",
        "sinusoidal": "towpath.model.positions.sinusoidal:SinusoidalConfig",
        "rope": "towpath.model.positions.rope:RopeConfig",
        "alibi": "towpath.model.positions.alibi:AlibiConfig",
        "t5": "towpath.model.positions.t5:T5BiasConfig",
        "none": "towpath.model.positions.none:NoPositionsConfig",
    },
    group="towpath.positions",
)


class PositionsConfig(Section):
    """What every position encoding's section has."""

    type: Any

    def build(self, model: DecoderConfig) -> Positions:
        """The part for a decoder of ``model``, its weights not yet set."""
        raise NotImplementedError

    def check(self, model: DecoderConfig) -> None:
        """Refuse sizes of ``model`` that the encoding can't have.

        Raises:
            ValueError: with the numbers and a value that works.
        """

    def extended(self, old_positions: int, new_positions: int, scaling: str) -> PositionsConfig:
        """This encoding for a model trained at ``old_positions`` tokens and used at ``new_positions``.

        ``scaling`` is for encodings that offer several ways.

        Raises:
            ValueError: the encoding ends where training ended; with what to do.
        """
        return self


def __getattr__(name: str) -> Any:
    if name != "Positions":  # the part itself needs torch
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from towpath.model.positions.base import Positions

    return Positions
