"""Blocks of an encoder-decoder: those that read, and those that write with the read in view.

Raffel et al. 2020, arXiv:1910.10683, section 2.1. Scores are not divided by sqrt(D): the
initialisation takes that in, as in the released code.

B batch, T tokens, S source tokens, C width, H heads, D head dimension.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import torch.nn.functional as F
from torch import Tensor, nn

from towpath.model.attention import Attention, HeadShape, Placement, attend
from towpath.model.decoder import Block
from towpath.model.encoder_decoder_config import T5Config
from towpath.model.linear import FusedLinear
from towpath.model.norms import RMSNorm
from towpath.model.positions.biases import RelativeBias
from towpath.model.sight import Sight

if TYPE_CHECKING:
    from jaxtyping import Float

KeysValues = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Source:
    """What was read, for the blocks that write."""

    states: Float[Tensor, "B S C"]
    sight: Sight
    """Which of it is no padding."""
    kept: dict[int, KeysValues] = field(default_factory=dict)
    """Keys and values of each layer, where they are computed once for many tokens."""


class ReluFeedForward(nn.Module):
    """Widen, cut off below zero, narrow; no biases."""

    def __init__(self, config: T5Config) -> None:
        super().__init__()
        self.up = nn.Linear(config.n_embd, config.inner_width, bias=False)
        self.out = nn.Linear(config.inner_width, config.n_embd, bias=False)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Float[Tensor, "B T C"]) -> Float[Tensor, "B T C"]:
        """Each token's new channels."""
        return self.out(self.dropout(F.relu(self.up(x))))


class GatedFeedForward(nn.Module):
    """Widen twice, let the GELU of one half gate the other, narrow; no biases."""

    def __init__(self, config: T5Config) -> None:
        super().__init__()
        self.gate_up = FusedLinear(config.n_embd, (config.inner_width, config.inner_width), bias=False)
        self.out = nn.Linear(config.inner_width, config.n_embd, bias=False)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Float[Tensor, "B T C"]) -> Float[Tensor, "B T C"]:
        """Each token's new channels."""
        gate, up = self.gate_up.parts(x)
        return self.out(self.dropout(F.gelu(gate, approximate="tanh") * up))


class CrossAttention(nn.Module):
    """Every written token gathers values from the source."""

    def __init__(self, config: T5Config) -> None:
        super().__init__()
        self.head_width, self.dropout = config.head_width, config.dropout
        inner = config.n_head * config.head_width
        self.query = nn.Linear(config.n_embd, inner, bias=False)
        self.key_value = FusedLinear(config.n_embd, (inner, inner), bias=False)
        self.out = nn.Linear(inner, config.n_embd, bias=False)

    def keys_values(self, states: Float[Tensor, "B S C"]) -> KeysValues:
        """Keys and values (B, H, S, D) of the source."""
        keys, values = (self._heads(part) for part in self.key_value.parts(states))
        return keys, values

    def forward(
        self, x: Float[Tensor, "B T C"], keys_values: KeysValues, sight: Sight
    ) -> Float[Tensor, "B T C"]:
        """What each token of ``x`` gathers."""
        dropout = self.dropout if self.training else 0.0
        gathered = attend(self._heads(self.query(x)), *keys_values, sight, dropout)
        return self.out(gathered.transpose(1, 2).flatten(2))

    def _heads(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (-1, self.head_width)).transpose(1, 2)


class TargetBlock(nn.Module):
    """One layer of the decoder: what was written, what was read, feed-forward."""

    def __init__(self, config: T5Config) -> None:
        super().__init__()
        norm = partial(RMSNorm, config.n_embd, config.norm_epsilon)
        self.attention_norm, self.attention = norm(), _attention(config)
        self.cross_norm, self.cross_attention = norm(), CrossAttention(config)
        self.feed_forward_norm, self.feed_forward = norm(), _feed_forward(config)
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self, x: Float[Tensor, "B T C"], place: Placement, layer: int, source: Source
    ) -> Float[Tensor, "B T C"]:
        """The stream after this block."""
        x = x + self.dropout(self.attention(self.attention_norm(x), place, layer))
        read = source.kept[layer] if source.kept else self.cross_attention.keys_values(source.states)
        x = x + self.dropout(self.cross_attention(self.cross_norm(x), read, source.sight))
        return x + self.dropout(self.feed_forward(self.feed_forward_norm(x)))


class Stack(nn.Module):
    """The parts of an encoder or a decoder; the first block's bias of distances serves all."""

    def __init__(self, config: T5Config, *, writes: bool) -> None:
        super().__init__()
        self.positions = RelativeBias(
            config.n_head, config.n_buckets, config.max_distance, bidirectional=not writes
        )
        n_blocks = config.decoder_layers if writes else config.n_layer
        self.blocks = nn.ModuleList(
            TargetBlock(config) if writes else _source_block(config) for _ in range(n_blocks)
        )
        self.final_norm = RMSNorm(config.n_embd, config.norm_epsilon)
        self.dropout = nn.Dropout(config.dropout)


def _source_block(config: T5Config) -> Block:
    norm = partial(RMSNorm, config.n_embd, config.norm_epsilon)
    return Block(_attention(config), _feed_forward(config), norm, config.dropout)


def _attention(config: T5Config) -> Attention:
    shape = HeadShape(config.n_embd, config.n_head, config.n_head, config.head_width)
    return Attention(shape, bias=False, dropout=config.dropout)


def _feed_forward(config: T5Config) -> nn.Module:
    return ReluFeedForward(config) if config.feed_forward == "relu" else GatedFeedForward(config)
