"""Sections of the model room: what a model looks like, and how tokens are drawn from it.

Comes in: a table of the run file. Goes out: checked numbers. Starts no torch, so that a run file
is read, checked and printed without it. To add a kind of decoder, declare a section here, a layout
in ``layouts.py`` and a line in ``MODELS``; encoders and encoder-decoders have modules of their own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from towpath.core.catalogue import Catalogue
from towpath.core.config import Section
from towpath.core.errors import ConfigError
from towpath.model.patterns import PATTERNS, Pattern
from towpath.model.patterns.full import Full
from towpath.model.positions import POSITIONS, PositionsConfig
from towpath.model.positions.learned import LearnedConfig
from towpath.model.positions.rope import RopeConfig

if TYPE_CHECKING:
    from towpath.model.decoder import Decoder
    from towpath.model.language_model import LanguageModel

Family = Literal["decoder", "encoder", "encoder-decoder"]

MOST_NEW_TOKENS = 1_000_000
"""More than any context; a larger number asked for is a mistake."""
VOCABULARY_MULTIPLE = 64
"""A vocabulary that we size ourselves is rounded up to this: matrix kernels like whole tiles."""


class TransformerConfig(Section):
    """What every model has. The choices are those of ``MODELS``."""

    family: ClassVar[Family]
    """Which objectives can train it, and whether it writes text."""
    carries_memory: ClassVar[bool] = False
    """Whether it reads a row in segments and remembers those before."""
    type: Any
    vocab_size: int | None = Field(default=None, ge=1)
    """Rows of the token embedding. Left out: the tokenizer's size, rounded up to 64."""
    n_positions: int = Field(default=2048, ge=1, le=2**24)
    """Context length in tokens."""
    n_embd: int = Field(default=768, ge=1)
    """Width of the residual stream."""
    n_layer: int = Field(default=12, ge=1)
    """Blocks, each one attention and one feed-forward."""
    n_head: int = Field(default=12, ge=1)
    """Attention heads of queries."""
    n_inner: int | None = Field(default=None, ge=1)
    """Width inside the feed-forward. Left out: what suits the layout, see ``inner_width``."""

    @property
    def head_width(self) -> int:
        """Channels of one attention head."""
        return self.n_embd // self.n_head

    @property
    def kv_heads(self) -> int:
        """Attention heads of keys and values."""
        return self.n_head

    @property
    def inner_width(self) -> int:
        """Width inside the feed-forward, ``n_inner`` or its default."""
        raise NotImplementedError

    def for_tokenizer(self, vocab_size: int) -> Self:
        """This config with room for a tokenizer of ``vocab_size`` tokens.

        Raises:
            ConfigError: ``vocab_size`` of the model is set and too small.
        """
        enough = round_up(vocab_size, VOCABULARY_MULTIPLE)
        if self.vocab_size is None:
            return self.model_copy(update={"vocab_size": enough})
        if self.vocab_size < vocab_size:
            raise ConfigError(
                f"model.vocab_size = {self.vocab_size} is smaller than the tokenizer's {vocab_size} tokens. "
                f"Try {enough}, or leave model.vocab_size out."
            )
        return self

    def layout(self) -> LanguageModel:
        """The model of this config, its weights not yet set; ``towpath.model.build`` sets them."""
        raise NotImplementedError


class DecoderConfig(TransformerConfig):
    """What every decoder has."""

    family = "decoder"
    attention: Annotated[Pattern, PATTERNS.choice("full")] = Full()
    """What tokens see: full, sliding_window, block_sparse, longformer or sinks."""

    def layout(self) -> Decoder:
        """See ``TransformerConfig.layout``."""
        raise NotImplementedError


class GPT2Config(DecoderConfig):
    """GPT-2 (Radford et al. 2019): learned positions, LayerNorm, biases, dropout, a tied head."""

    type: Literal["gpt2"] = "gpt2"
    activation: Literal["gelu", "gelu_new", "relu"] = "gelu"
    """"gelu" is exact; "gelu_new" is GPT-2's tanh approximation, half as fast on a CPU."""
    dropout: float = Field(default=0.1, ge=0, lt=1)
    """Share of channels dropped in training: embeddings, attention weights and block outputs."""
    positions: Annotated[PositionsConfig, POSITIONS.choice("learned")] = LearnedConfig()
    """How tokens know their order: learned, sinusoidal, rope, alibi, t5 or none."""

    @model_validator(mode="after")
    def _heads_divide_the_width(self) -> Self:
        check_heads(self)
        self.positions.check(self)
        return self

    @property
    def inner_width(self) -> int:
        """``n_inner``, or four times ``n_embd``."""
        return self.n_inner or 4 * self.n_embd

    def layout(self) -> Decoder:
        """See ``TransformerConfig.layout``."""
        from towpath.model.layouts import gpt2

        return gpt2(self)


class ModernConfig(DecoderConfig):
    """The Qwen3 layout: RMSNorm, rotary positions, grouped queries, QK-norm, SwiGLU, no biases."""

    type: Literal["modern"] = "modern"
    n_kv_head: int | None = Field(default=None, ge=1)
    """Heads of keys and values, each shared by n_head / n_kv_head heads of queries. Left out: n_head."""
    head_dim: int | None = Field(default=None, ge=2)
    """Channels of one head. Left out: n_embd / n_head."""
    positions: Annotated[PositionsConfig, POSITIONS.choice("rope")] = RopeConfig()
    """How tokens know their order: learned, sinusoidal, rope, alibi, t5 or none."""
    norm_epsilon: float = Field(default=1e-6, gt=0)
    """Added to the mean square in every RMSNorm."""
    tie_embeddings: bool = True
    """Use the token embedding as output head too."""

    @model_validator(mode="after")
    def _heads_fit(self) -> Self:
        if self.head_dim is None:
            check_heads(self)
        self.positions.check(self)
        if self.n_head % self.kv_heads:
            divisors = [n for n in range(1, self.n_head + 1) if self.n_head % n == 0]
            nearest = min(divisors, key=lambda n: abs(n - self.kv_heads))
            raise ValueError(
                f"n_head = {self.n_head} is not a multiple of n_kv_head = {self.kv_heads}. "
                f"Try n_kv_head = {nearest}."
            )
        return self

    @property
    def head_width(self) -> int:
        """``head_dim``, or ``n_embd / n_head``."""
        return self.head_dim or self.n_embd // self.n_head

    @property
    def kv_heads(self) -> int:
        """``n_kv_head``, or ``n_head``."""
        return self.n_kv_head or self.n_head

    @property
    def inner_width(self) -> int:
        """``n_inner``, or 8/3 of ``n_embd`` rounded up to 64: as many weights as GPT-2's two matrices.

        Shazeer 2020, arXiv:2002.05202, section 3: three matrices, so each is 2/3 as wide.
        """
        return self.n_inner or round_up(8 * self.n_embd // 3, 64)

    def layout(self) -> Decoder:
        """See ``TransformerConfig.layout``."""
        from towpath.model.layouts import modern

        return modern(self)


MODELS = Catalogue(
    "model",
    {
        "gpt2": "towpath.model.config:GPT2Config",
        "modern": "towpath.model.config:ModernConfig",
        "moe": "towpath.model.experts_config:MoEConfig",
        "recurrent": "towpath.model.memory_config:RecurrentConfig",
        "bert": "towpath.model.encoder_config:BertConfig",
        "t5": "towpath.model.encoder_decoder_config:T5Config",
    },
    group="towpath.models",
)

ModelConfig = Annotated[TransformerConfig, MODELS.choice("gpt2")]
"""A field that holds the section of any model; without ``type`` it is GPT-2, as in the specification."""


class SamplingConfig(Section):
    """How the next token is drawn. Applied in this order: penalty, temperature, top-k, top-p."""

    temperature: float = Field(default=0.8, ge=0, le=100)
    """Divides the logits: 0 always takes the most likely token, 1 draws as the model says."""
    top_k: int | None = Field(default=None, ge=1)
    """Draw from this many most likely tokens only. Left out: from all."""
    top_p: float = Field(default=1.0, ge=0, le=1)
    """Draw from the fewest tokens whose probabilities sum to this (Holtzman et al. 2019). 1: from all."""
    repetition_penalty: float = Field(default=1.0, ge=0.01, le=100)
    """Makes tokens that occurred less likely when above 1 (Keskar et al. 2019, section 4.1). 1: off."""
    max_new_tokens: int = Field(default=100, ge=1, le=MOST_NEW_TOKENS)
    """Stop after this many tokens; the end of the context stops earlier."""
    seed: int | None = Field(default=None, ge=0, lt=2**63)
    """Two draws with the same seed are equal. Left out: each draw is new."""
    stop_ids: tuple[int, ...] = ()
    """Stop once one of these tokens is drawn; where text is made, the end of text when empty."""


def check_heads(config: TransformerConfig) -> None:
    """Refuse a width that the heads don't divide; for validators of configs without ``head_dim``."""
    if config.n_embd % config.n_head:
        even = 2 * config.n_head  # rotary positions want heads of even width
        nearest = max(1, round(config.n_embd / even)) * even
        raise ValueError(
            f"n_embd = {config.n_embd} is not a multiple of n_head = {config.n_head}. Try {nearest}."
        )


def round_up(number: int, multiple: int) -> int:
    """The least multiple of ``multiple`` that is not below ``number``."""
    return -(-number // multiple) * multiple
