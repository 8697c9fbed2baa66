"""Section of encoder-decoders: T5, as first released and as version 1.1."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field, model_validator

from towpath.model.config import TransformerConfig, check_heads, round_up

if TYPE_CHECKING:
    from towpath.model.encoder_decoder import EncoderDecoder


class T5Config(TransformerConfig):
    """T5 (Raffel et al. 2020): an encoder reads, a decoder writes; relative positions, no biases."""

    family = "encoder-decoder"
    type: Literal["t5"] = "t5"
    n_positions: int = Field(default=512, ge=1)
    """Most tokens that are read, and most that are written."""
    n_embd: int = Field(default=512, ge=1)
    """Width of the residual stream."""
    n_layer: int = Field(default=6, ge=1)
    """Blocks of the encoder."""
    n_decoder_layer: int | None = Field(default=None, ge=1)
    """Blocks of the decoder. Left out: as many as ``n_layer``."""
    n_head: int = Field(default=8, ge=1)
    """Attention heads."""
    head_dim: int | None = Field(default=None, ge=1)
    """Channels of one head. Left out: n_embd / n_head."""
    feed_forward: Literal["relu", "gated-gelu"] = "relu"
    """"relu" is the paper's, "gated-gelu" that of version 1.1 (Shazeer 2020, arXiv:2002.05202)."""
    tie_embeddings: bool = True
    """Use the token embedding as output head too, of states divided by sqrt(n_embd); version 1.1 does not."""
    dropout: float = Field(default=0.1, ge=0, lt=1)
    """Share of channels dropped in training; version 1.1 was pre-trained without."""
    norm_epsilon: float = Field(default=1e-6, gt=0)
    """Added to the mean square in every RMSNorm."""
    n_buckets: int = Field(default=32, ge=4)
    """Ranges of distances that have a learned number of their own in each head."""
    max_distance: int = Field(default=128, ge=2)
    """All distances from this on share the last bucket."""
    start_id: int = Field(default=0, ge=0)
    """The token before the first that is written; T5's is its padding, 0."""

    @model_validator(mode="after")
    def _sizes_fit(self) -> Self:
        if self.head_dim is None:
            check_heads(self)
        if self.max_distance <= self.n_buckets // 2:
            raise ValueError(
                f"max_distance = {self.max_distance} leaves no range beyond the single distances of "
                f"n_buckets = {self.n_buckets}. Try max_distance = {4 * self.n_buckets}."
            )
        if self.vocab_size is not None and self.start_id >= self.vocab_size:
            raise ValueError(
                f"start_id = {self.start_id} is outside vocab_size = {self.vocab_size}. Try start_id = 0."
            )
        return self

    @property
    def head_width(self) -> int:
        """``head_dim``, or ``n_embd / n_head``."""
        return self.head_dim or self.n_embd // self.n_head

    @property
    def decoder_layers(self) -> int:
        """``n_decoder_layer``, or ``n_layer``."""
        return self.n_decoder_layer or self.n_layer

    @property
    def inner_width(self) -> int:
        """``n_inner``, or four times ``n_embd``; gated 8/3 of it, rounded up to 64: as many weights."""
        if self.n_inner is not None:
            return self.n_inner
        return 4 * self.n_embd if self.feed_forward == "relu" else round_up(8 * self.n_embd // 3, 64)

    def layout(self) -> EncoderDecoder:
        """See ``TransformerConfig.layout``."""
        from towpath.model.encoder_decoder import EncoderDecoder

        return EncoderDecoder(self)
