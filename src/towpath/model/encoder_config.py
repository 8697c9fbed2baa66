"""Section of encoders: BERT, with one of three heads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field, model_validator

from towpath.model.config import TransformerConfig, check_heads

if TYPE_CHECKING:
    from towpath.model.encoder import Encoder

Head = Literal["masked", "sequence", "token"]


class BertConfig(TransformerConfig):
    """BERT (Devlin et al. 2019): sees both directions, LayerNorm after each layer, learned positions."""

    family = "encoder"
    type: Literal["bert"] = "bert"
    n_positions: int = Field(default=512, ge=1)
    """Context length in tokens."""
    n_token_types: int = Field(default=2, ge=1)
    """Kinds of segments that have an embedding of their own, such as question and passage."""
    activation: Literal["gelu", "gelu_new", "relu"] = "gelu"
    """Of the feed-forward and the masked head; "gelu" is exact, as in the paper's code."""
    dropout: float = Field(default=0.1, ge=0, lt=1)
    """Share of channels dropped in training: embeddings, attention weights, block outputs, pooled state."""
    norm_epsilon: float = Field(default=1e-12, gt=0)
    """Added to the variance in every LayerNorm; the paper's code has 1e-12."""
    head: Head = "masked"
    """What is predicted: hidden tokens (masked), a label a sequence, or a label a token."""
    n_labels: int = Field(default=2, ge=2)
    """Labels of the sequence or token head; the masked head has none."""

    @model_validator(mode="after")
    def _heads_divide_the_width(self) -> Self:
        check_heads(self)
        return self

    @property
    def inner_width(self) -> int:
        """``n_inner``, or four times ``n_embd``."""
        return self.n_inner or 4 * self.n_embd

    def layout(self) -> Encoder:
        """See ``TransformerConfig.layout``."""
        from towpath.model.encoder import bert

        return bert(self)
