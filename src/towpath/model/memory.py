"""A decoder that goes through a text in segments and remembers what its layers saw in those before.

Transformer-XL: Dai et al. 2019, arXiv:1901.02860, section 3.2, equation of the recurrence: keys and
values are made of the memory's states and the segment's, queries of the segment's alone, and no
gradient goes into the memory (truncated backpropagation; ``backward_segments`` cuts less often).
Deviations: positions are whatever ``positions`` says, counted from the start of the memory, instead
of their own relative encoding (section 3.3); what is remembered is the normalised input of attention;
each row of a batch starts with an empty memory, so that a batch stays a function of its step alone.

Without gradients a token sees what ``Segments`` says: a cache for writing one token at a time is the
plain one with that pattern.

B batch, T tokens, M tokens in memory, C width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from towpath.core.errors import ModelError
from towpath.model.attention import Attention, HeadShape, Placement, attend
from towpath.model.cache import KeyValueCache, RollingCache
from towpath.model.decoder import Block, Decoder, Parts
from towpath.model.feed_forward import SwiGLU
from towpath.model.layouts import initialise_modern_
from towpath.model.memory_config import RecurrentConfig
from towpath.model.norms import RMSNorm
from towpath.model.patterns import Pattern, joined
from towpath.model.rotary import rotate

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int

Memory = Sequence[Tensor]
"""The states of the tokens before a segment, (B, M, C) for each layer."""


class Segments(Pattern):
    """A token sees its segment and ``memory_tokens`` before it."""

    type: Literal["segments"] = "segments"
    segment_tokens: int
    """Tokens of a segment."""
    memory_tokens: int
    """Tokens before a segment that it sees."""

    def sees(self, query: Int[Tensor, "*#D"], key: Int[Tensor, "*#D"], n_tokens: int) -> Bool[Tensor, "*#D"]:
        """See ``Pattern.sees``."""
        return key >= query // self.segment_tokens * self.segment_tokens - self.memory_tokens

    def key_ranges(self, first: int, stop: int, n_tokens: int) -> list[tuple[int, int]]:
        """See ``Pattern.key_ranges``."""
        start = first // self.segment_tokens * self.segment_tokens
        return joined([(start - self.memory_tokens, n_tokens)], n_tokens)


class Fresh:
    """What each layer saw in a segment, for the next one's memory.

    A class of its own, as FSDP hands a block copies of the dictionaries in its arguments.
    """

    def __init__(self) -> None:
        self.layers: dict[int, Tensor] = {}


@dataclass(frozen=True)
class SegmentPlacement(Placement):
    """Where the tokens of a segment stand, after those in memory."""

    past: Memory = ()
    """What each layer remembers."""
    fresh: Fresh = field(default_factory=Fresh)


class RecurrentAttention(Attention):
    """Attention whose keys and values are those of the memory too."""

    def forward(self, x: Float[Tensor, "B T C"], place: Placement, layer: int) -> Float[Tensor, "B T C"]:
        """See ``Attention.forward``."""
        if not isinstance(place, SegmentPlacement):
            return super().forward(x, place, layer)
        place.fresh.layers[layer] = x
        seen = torch.cat((place.past[layer], x), dim=1)  # (B, M + T, C)
        q, k, v = (part.unflatten(-1, (-1, self.shape.head_width)) for part in self.qkv.parts(seen))
        q = q[:, -x.shape[1] :]
        if self.query_norm is not None and self.key_norm is not None:
            q, k = self.query_norm(q), self.key_norm(k)
        if place.rotation is not None and place.key_rotation is not None:
            q, k = rotate(q, place.rotation), rotate(k, place.key_rotation)
        q, k, v = q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)
        gathered = attend(q, k, v, place.sight, self.dropout if self.training else 0.0)
        return self.out(gathered.transpose(1, 2).flatten(2))


class RecurrentDecoder(Decoder):
    """A causal language model for texts of any length, in segments."""

    config: RecurrentConfig  # pyright: ignore[reportIncompatibleVariableOverride]

    def trunk(
        self,
        input_ids: Int[Tensor, "B T"],
        cache: KeyValueCache | None = None,
        *,
        documents: Int[Tensor, "B T"] | None = None,
        places: Int[Tensor, "B T"] | None = None,
        prefix_tokens: Int[Tensor, " B"] | None = None,
    ) -> Float[Tensor, "B T C"]:
        """See ``Decoder.trunk``; without a cache a row may be longer than ``n_positions``.

        Raises:
            ModelError: documents, places or prefix_tokens are given.
        """
        if not (documents is None and places is None and prefix_tokens is None):
            raise ModelError(
                "A model with a memory reads its rows in segments and carries it over documents; it takes no "
                "documents, places or prefix_tokens. Train it by the causal objective without document_mask."
            )
        if cache is not None:
            return super().trunk(input_ids, cache)
        return self.read(input_ids)[0]

    def read(
        self, input_ids: Int[Tensor, "B T"], memory: Memory | None = None
    ) -> tuple[Float[Tensor, "B T C"], Memory]:
        """The normalised state of every token, and what is remembered for the tokens that follow.

        ``memory`` None: these are the first. Cut a text at multiples of ``segment_tokens`` to get what
        one call gives.
        """
        states = []
        memory = self._empty_memory(len(input_ids)) if memory is None else memory
        for number, segment in enumerate(input_ids.split(self.config.segment_tokens, dim=1)):
            if number % self.config.backward_segments == 0:
                memory = [layer.detach() for layer in memory]
            state, memory = self._segment(segment, memory)
            states.append(state)
        return self.final_norm(torch.cat(states, dim=1)), [layer.detach() for layer in memory]

    def new_rolling_cache(self, batch: int, sink_tokens: int, window_tokens: int) -> RollingCache:
        """Refused: this model has a memory of its own.

        Raises:
            ModelError: always.
        """
        raise ModelError(
            "A model with a memory needs no attention sinks. Read endless texts with its read(ids, memory)."
        )

    def _segment(self, ids: Int[Tensor, "B T"], memory: Memory) -> tuple[Float[Tensor, "B T C"], Memory]:
        held, n_tokens = memory[0].shape[1], ids.shape[1]
        n_keys = held + n_tokens
        base = self._base_sight(n_tokens)
        place = SegmentPlacement(
            base.folded(n_tokens, n_keys, self.tokens.weight.dtype, self.device),
            rotation=self.positions.rotation(held, n_tokens),
            key_rotation=self.positions.rotation(0, n_keys),
            past=memory,
        )
        x = self.dropout(self.embed(ids))
        for layer, block in enumerate(self.blocks):
            x = self.through(block, x, place, layer)
        most = self.config.memory_tokens
        fresh = place.fresh.layers
        newer = [torch.cat((past, fresh[layer]), dim=1)[:, -most:] for layer, past in enumerate(memory)]
        return x, newer

    def _empty_memory(self, batch: int) -> Memory:
        config, weight = self.config, self.tokens.weight
        return [weight.new_zeros(batch, 0, config.n_embd) for _ in range(config.n_layer)]


def recurrent(config: RecurrentConfig) -> RecurrentDecoder:
    """The layout ``modern`` with a memory in every layer."""
    epsilon = config.norm_epsilon
    heads = HeadShape(config.n_embd, config.n_head, config.kv_heads, config.head_width)
    blocks = [
        Block(
            RecurrentAttention(heads, bias=False, norm_epsilon=epsilon),
            SwiGLU(config.n_embd, config.inner_width),
            partial(RMSNorm, config.n_embd, epsilon),
        )
        for _ in range(config.n_layer)
    ]
    parts = Parts(
        positions=config.positions.build(config),
        attention=Segments(segment_tokens=config.segment_tokens, memory_tokens=config.memory_tokens),
        blocks=blocks,
        final_norm=RMSNorm(config.n_embd, epsilon),
        tied=config.tie_embeddings,
        initialise_=initialise_modern_,
    )
    return RecurrentDecoder(config, parts)
