"""The decoder: token ids in, logits or a loss out. One device, plain PyTorch, built of parts.

Knows nothing of text, tokenizers, precision or parallelism: ``train`` wraps those around it. Which
parts it has is decided in ``layouts.py``.

B batch, T tokens, C width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from towpath.model.attention import Placement
from towpath.model.cache import KeyValueCache
from towpath.model.config import DecoderConfig
from towpath.model.language_model import LanguageModel, Output
from towpath.model.language_model import build as build
from towpath.model.loss import chunked_cross_entropy
from towpath.model.positions import Positions
from towpath.model.sight import Sight

if TYPE_CHECKING:
    from jaxtyping import Float, Int


@dataclass(frozen=True)
class Parts:
    """What a layout chooses."""

    positions: Positions
    blocks: Sequence[nn.Module]
    final_norm: nn.Module
    tied: bool
    """Whether the token embedding is the output head too."""
    initialise_: Callable[[Decoder, torch.Generator], None]
    """Sets every weight, drawing from the generator alone."""
    dropout: float = 0.0


class Decoder(LanguageModel):
    """A causal language model."""

    config: DecoderConfig
    positions: Positions
    head: nn.Linear | None

    def __init__(self, config: DecoderConfig, parts: Parts) -> None:
        super().__init__(config, parts.initialise_)
        self.positions = parts.positions
        self.dropout = nn.Dropout(parts.dropout)
        self.blocks = nn.ModuleList(parts.blocks)
        self.final_norm = parts.final_norm
        self.head = None if parts.tied else nn.Linear(config.n_embd, self.tokens.num_embeddings, bias=False)

    def forward(
        self,
        input_ids: Int[Tensor, "B T"],
        labels: Int[Tensor, "B T"] | None = None,
        *,
        cache: KeyValueCache | None = None,
        loss_tokens: float | Tensor | None = None,
    ) -> Output:
        """The loss when ``labels`` are given, else logits.

        ``labels[:, t]`` is predicted at ``t - 1``, as in transformers: usually they are ``input_ids``
        themselves, with -100 where nothing is to be learned. Windows may be ``n_positions + 1`` long,
        since nothing is predicted after the last token. The loss is summed over all labels and
        divided by ``loss_tokens``, or by their number when it is None: give the number of all targets
        of a step to accumulate its mean over several passes.

        Raises:
            ModelError: a token id beyond the vocabulary, or more tokens than the context or cache holds.
        """
        if labels is None:
            return Output(None, self.logits(self.trunk(input_ids, cache)))
        hidden = self.trunk(input_ids[:, :-1], cache)
        loss = chunked_cross_entropy(
            hidden.flatten(0, 1), self.head_weight, labels[:, 1:].flatten(), loss_tokens=loss_tokens
        )
        return Output(loss, None)

    def trunk(
        self, input_ids: Int[Tensor, "B T"], cache: KeyValueCache | None = None
    ) -> Float[Tensor, "B T C"]:
        """Everything before the output head: the normalised state of every token."""
        batch, n_tokens = input_ids.shape
        start = 0 if cache is None else cache.n_tokens
        self.check_context(start + n_tokens)
        if cache is not None:
            cache.check_room(batch, n_tokens)
        place = Placement(
            Sight(bias=self.positions.bias(start, n_tokens)), self.positions.rotation(start, n_tokens), cache
        )
        x = self.dropout(self.positions.add(self.embed(input_ids), start))
        for layer, block in enumerate(self.blocks):
            x = self.through(block, x, place, layer)
        if cache is not None:
            cache.advance(n_tokens)
        return self.final_norm(x)

    def logits(self, hidden: Float[Tensor, "*B C"]) -> Float[Tensor, "*B V"]:
        """Scores of every token of the vocabulary, from what ``trunk`` gave."""
        return F.linear(hidden, self.head_weight)

    def new_cache(self, batch: int, max_tokens: int) -> KeyValueCache:
        """An empty cache for ``batch`` rows of at most ``max_tokens`` tokens.

        Raises:
            ModelError: ``max_tokens`` is beyond the context.
        """
        self.check_context(max_tokens)
        config, weight = self.config, self.tokens.weight
        shape = (config.n_layer, batch, config.kv_heads, max_tokens, config.head_width)
        return KeyValueCache(shape, dtype=weight.dtype, device=weight.device)

    def fill_(self) -> None:
        """See ``LanguageModel.fill_``."""
        self.positions.fill_()


class Block(nn.Module):
    """One layer: attention, then feed-forward, each on the normalised stream and added to it."""

    def __init__(
        self,
        attention: nn.Module,
        feed_forward: nn.Module,
        norm: Callable[[], nn.Module],
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.attention_norm, self.attention = norm(), attention
        self.feed_forward_norm, self.feed_forward = norm(), feed_forward
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Float[Tensor, "B T C"], place: Placement, layer: int) -> Float[Tensor, "B T C"]:
        """The stream after this block."""
        x = x + self.dropout(self.attention(self.attention_norm(x), place, layer))
        return x + self.dropout(self.feed_forward(self.feed_forward_norm(x)))
