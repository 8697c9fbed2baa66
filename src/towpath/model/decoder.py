"""The decoder: token ids in, logits or a loss out. One device, plain PyTorch, built of parts.

Knows nothing of text, tokenizers, precision or parallelism: ``train`` wraps those around it. Which
parts it has is decided in ``layouts.py``.

B batch, T tokens, C width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from towpath.core.errors import ModelError
from towpath.model.attention import Placement
from towpath.model.cache import KeyValueCache
from towpath.model.config import DecoderConfig
from towpath.model.loss import chunked_cross_entropy
from towpath.model.positions import Positions
from towpath.model.sight import Sight
from towpath.model.torch_version import check_torch_version

if TYPE_CHECKING:
    from jaxtyping import Float, Int

check_torch_version(torch.__version__)


class Output(NamedTuple):
    """What a forward pass gives: ``loss`` where there were labels, ``logits`` where there were none."""

    loss: Float[Tensor, ""] | None
    """Cross entropy in nats, fp32."""
    logits: Float[Tensor, "B T V"] | None


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


class Decoder(nn.Module):
    """A causal language model."""

    positions: Positions

    def __init__(self, config: DecoderConfig, parts: Parts) -> None:
        super().__init__()
        if config.vocab_size is None:
            raise ModelError(
                "model.vocab_size is not set. Set it, or use config.for_tokenizer(tokenizer.vocab_size)."
            )
        self.config = config
        self.tokens = nn.Embedding(config.vocab_size, config.n_embd)
        self.positions = parts.positions
        self.dropout = nn.Dropout(parts.dropout)
        self.blocks = nn.ModuleList(parts.blocks)
        self.final_norm = parts.final_norm
        self.head = None if parts.tied else nn.Linear(config.n_embd, config.vocab_size, bias=False)
        self.gradient_checkpointing = False
        """Keep only each block's input in training and compute the rest again in the backward pass."""
        self._initialise_ = parts.initialise_

    @property
    def head_weight(self) -> Float[Tensor, "V C"]:
        """The output matrix: the token embedding where they are tied."""
        return self.tokens.weight if self.head is None else self.head.weight

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.tokens.weight.device

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
        self._check_room(start + n_tokens)
        if cache is not None:
            cache.check_room(batch, n_tokens)
        place = Placement(
            Sight(bias=self.positions.bias(start, n_tokens)), self.positions.rotation(start, n_tokens), cache
        )
        x = self.dropout(self.positions.add(self._embed(input_ids), start))
        for layer, block in enumerate(self.blocks):
            x = self._through(block, x, place, layer)
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
        self._check_room(max_tokens)
        config, weight = self.config, self.tokens.weight
        shape = (config.n_layer, batch, config.kv_heads, max_tokens, config.head_width)
        return KeyValueCache(shape, dtype=weight.dtype, device=weight.device)

    def num_parameters(self) -> int:
        """Number of weights; a tied head is counted once."""
        return sum(parameter.numel() for parameter in self.parameters())

    def initialise_(self, seed: int) -> None:
        """Set every weight anew, the same for the same ``seed``; no other random state is touched."""
        with torch.no_grad():
            self._initialise_(self, torch.Generator().manual_seed(seed))
            self.positions.fill_()

    def _through(self, block: nn.Module, x: Tensor, place: Placement, layer: int) -> Tensor:
        if self.gradient_checkpointing and self.training and torch.is_grad_enabled():
            return checkpoint(block, x, place, layer, use_reentrant=False)  # pyright: ignore[reportReturnType]
        return block(x, place, layer)

    def _embed(self, input_ids: Int[Tensor, "B T"]) -> Float[Tensor, "B T C"]:
        try:
            return self.tokens(input_ids)
        except IndexError as error:
            raise ModelError(_outside_vocabulary(input_ids, self.tokens.num_embeddings)) from error

    def _check_room(self, n_tokens: int) -> None:
        if n_tokens > self.config.n_positions:
            raise ModelError(
                f"{n_tokens} tokens are more than the model's context of {self.config.n_positions} "
                f"(model.n_positions). Give at most {self.config.n_positions}."
            )


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


def build(config: DecoderConfig, seed: int = 0) -> Decoder:
    """The decoder of ``config`` on the CPU in fp32, its weights drawn from ``seed`` alone.

    Raises:
        ModelError: ``config.vocab_size`` is not set.
    """
    with torch.device("meta"):
        model = config.layout()
    model.to_empty(device="cpu")
    model.initialise_(seed)
    return model


def _outside_vocabulary(ids: Tensor, vocab_size: int) -> str:
    wrong = ids[(ids < 0) | (ids >= vocab_size)]
    return (
        f"Token id {int(wrong[0])} is outside the model's vocabulary of {vocab_size} "
        f"(0 to {vocab_size - 1}). Were these tokens made by another tokenizer?"
    )
