"""Section of the decoder with a memory: long texts in segments, of which each remembers those before."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import Field, model_validator

from towpath.model.config import ModernConfig

if TYPE_CHECKING:
    from towpath.model.memory import RecurrentDecoder


class RecurrentConfig(ModernConfig):
    """The ``modern`` layout, a segment at a time with a memory of those before (Dai et al. 2019)."""

    carries_memory: ClassVar[bool] = True
    type: Literal["recurrent"] = "recurrent"  # pyright: ignore[reportIncompatibleVariableOverride]
    segment_tokens: int = Field(default=512, ge=1)
    """Tokens that are gone through at once; a row of n_positions tokens is cut into such segments."""
    memory_tokens: int = Field(default=512, ge=1)
    """Newest tokens before a segment whose states every layer remembers."""
    backward_segments: int = Field(default=1, ge=1)
    """Segments that gradients go back through before memory is cut off; 1 is Transformer-XL's."""

    @model_validator(mode="after")
    def _memory_fits(self) -> Self:
        together = self.segment_tokens + self.memory_tokens
        if together > self.n_positions:
            raise ValueError(
                f"segment_tokens = {self.segment_tokens} and memory_tokens = {self.memory_tokens} are more "
                f"than n_positions = {self.n_positions}. Try n_positions = {together}, or a smaller memory."
            )
        if self.positions.type not in ("rope", "alibi", "t5", "none"):
            raise ValueError(
                f"positions.type = {self.positions.type!r} gives tokens a place in the text, but in a memory "
                "their place changes with every segment. Try positions.type = rope, alibi, t5 or none."
            )
        if not self.attention.is_full:
            raise ValueError(
                f"attention.type = {self.attention.type!r} hides tokens, but what a segment sees is said by "
                "memory_tokens. Try attention.type = full."
            )
        return self

    def layout(self) -> RecurrentDecoder:
        """See ``TransformerConfig.layout``."""
        from towpath.model.memory import recurrent

        return recurrent(self)
