"""What all models share: a token embedding, an output matrix, a loss or logits, a place of weights.

One device, plain PyTorch. A decoder, an encoder and an encoder-decoder each say what happens in
between. Knows nothing of text, tokenizers, precision or parallelism: ``train`` wraps those around it.

B batch, T tokens, C width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, overload

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from towpath.core.errors import ModelError
from towpath.model.config import DecoderConfig, TransformerConfig
from towpath.model.recomputing import Recomputing, recomputed
from towpath.model.torch_version import check_torch_version

if TYPE_CHECKING:
    from jaxtyping import Float, Int

    from towpath.model.decoder import Decoder

check_torch_version(torch.__version__)


class Output(NamedTuple):
    """What a forward pass gives: ``loss`` where there were labels, ``logits`` where there were none."""

    loss: Float[Tensor, ""] | None
    """Cross entropy in nats, fp32."""
    logits: Float[Tensor, "B T V"] | None


Initialise = Callable[[Any, torch.Generator], None]
"""Sets every weight of a model, drawing from the generator alone."""


class LanguageModel(nn.Module):
    """Called with ``input_ids`` and ``labels`` it gives a loss; see each family for what else it takes."""

    head: Any
    """What makes logits of states; None where the token embedding does."""
    head_product: Callable[..., Tensor] | None = None
    """What multiplies for the logits of a loss in training, where that is not torch (int8)."""

    def __init__(self, config: TransformerConfig, initialise_: Initialise) -> None:
        super().__init__()
        if config.vocab_size is None:
            raise ModelError(
                "model.vocab_size is not set. Set it, or use config.for_tokenizer(tokenizer.vocab_size)."
            )
        self.config: Any = config
        self.tokens = nn.Embedding(config.vocab_size, config.n_embd)
        self.gradient_checkpointing: Recomputing = False
        """What of each block is computed again in the backward pass, and not kept."""
        self._initialise_ = initialise_

    @property
    def head_weight(self) -> Float[Tensor, "V C"]:
        """The output matrix: the token embedding where they are tied."""
        return self.tokens.weight if self.head is None else self.head.weight

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.tokens.weight.device

    def logits(self, hidden: Float[Tensor, "*B C"]) -> Float[Tensor, "*B V"]:
        """Scores of every token of the vocabulary, from the states before the head."""
        return F.linear(hidden, self.head_weight)

    def num_parameters(self) -> int:
        """Number of weights; a tied head is counted once."""
        return sum(parameter.numel() for parameter in self.parameters())

    def initialise_(self, seed: int) -> None:
        """Set every weight anew, the same for the same ``seed``; no other random state is touched."""
        with torch.no_grad():
            self._initialise_(self, torch.Generator().manual_seed(seed))
            self.fill_()

    def fill_(self) -> None:
        """Set what is computed and not learned, once the model lies on a real device."""

    def through(self, block: nn.Module, *inputs: Any) -> Tensor:
        """``block`` of ``inputs``, computed again in the backward pass where that is asked for."""
        if self.gradient_checkpointing and self.training and torch.is_grad_enabled():
            return recomputed(block, inputs, self.gradient_checkpointing)
        return block(*inputs)

    def embed(self, input_ids: Int[Tensor, "B T"]) -> Float[Tensor, "B T C"]:
        """The embeddings of ``input_ids``.

        Raises:
            ModelError: a token id beyond the vocabulary.
        """
        try:
            return self.tokens(input_ids)
        except IndexError as error:
            raise ModelError(_outside_vocabulary(input_ids, self.tokens.num_embeddings)) from error

    def check_context(self, n_tokens: int) -> None:
        """Refuse more tokens than the context holds.

        Raises:
            ModelError: with both numbers.
        """
        if n_tokens > self.config.n_positions:
            raise ModelError(
                f"{n_tokens} tokens are more than the model's context of {self.config.n_positions} "
                f"(model.n_positions). Give at most {self.config.n_positions}."
            )


@overload
def build(config: DecoderConfig, seed: int = 0) -> Decoder: ...


@overload
def build(config: TransformerConfig, seed: int = 0) -> LanguageModel: ...


def build(config: TransformerConfig, seed: int = 0) -> LanguageModel:
    """The model of ``config`` on the CPU in fp32, its weights drawn from ``seed`` alone.

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
