"""Heads of an encoder: hidden tokens, a label a sequence, a label a token.

Devlin et al. 2019, arXiv:1810.04805, sections 3.1 and 4; the transform before the masked head is of
the released code.

B batch, T tokens, C width, V vocabulary, L labels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from towpath.model.encoder_config import BertConfig
from towpath.model.feed_forward import ACTIVATIONS
from towpath.model.loss import IGNORED, chunked_cross_entropy

if TYPE_CHECKING:
    from jaxtyping import Float, Int


class EncoderHead(nn.Module):
    """What an encoder asks of its head; ``embedding`` is the matrix of the tokens, (V, C)."""

    def weight(self, embedding: Tensor) -> Tensor:
        """The output matrix."""
        raise NotImplementedError

    def logits(self, hidden: Float[Tensor, "B T C"], embedding: Float[Tensor, "V C"]) -> Tensor:
        """Scores of every token or label, from the states of all tokens."""
        raise NotImplementedError

    def loss(
        self,
        hidden: Float[Tensor, "B T C"],
        embedding: Float[Tensor, "V C"],
        labels: Int[Tensor, "B ..."],
        loss_tokens: float | Tensor | None,
    ) -> Float[Tensor, ""]:
        """Cross entropy in nats over all labels but -100, divided by ``loss_tokens`` or their number."""
        logits = self.logits(hidden, embedding).flatten(0, -2)
        labels = labels.flatten()
        if loss_tokens is None:
            loss_tokens = (labels != IGNORED).sum().clamp(min=1)
        exact = logits.to(torch.promote_types(logits.dtype, torch.float32))
        return F.cross_entropy(exact, labels, ignore_index=IGNORED, reduction="sum") / loss_tokens


class MaskedHead(EncoderHead):
    """A transform, then the token embedding as output matrix, with a bias of its own."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        assert config.vocab_size is not None
        self.transform = nn.Linear(config.n_embd, config.n_embd)
        self.activation = ACTIVATIONS[config.activation]
        self.norm = nn.LayerNorm(config.n_embd, eps=config.norm_epsilon)
        self.bias = nn.Parameter(torch.zeros(config.vocab_size))

    def weight(self, embedding: Tensor) -> Tensor:
        """See ``EncoderHead.weight``."""
        return embedding

    def logits(
        self, hidden: Float[Tensor, "B T C"], embedding: Float[Tensor, "V C"]
    ) -> Float[Tensor, "B T V"]:
        """See ``EncoderHead.logits``."""
        return F.linear(self._transformed(hidden), embedding, self.bias)

    def loss(
        self,
        hidden: Float[Tensor, "B T C"],
        embedding: Float[Tensor, "V C"],
        labels: Int[Tensor, "B T"],
        loss_tokens: float | Tensor | None,
    ) -> Float[Tensor, ""]:
        """See ``EncoderHead.loss``; never holds all logits."""
        hidden, labels = hidden.flatten(0, 1), labels.flatten()
        if labels.device.type == "cpu":  # on a GPU to count the hidden tokens is to wait for it
            learned = labels != IGNORED
            hidden, labels = hidden[learned], labels[learned]
        return chunked_cross_entropy(
            self._transformed(hidden), embedding, labels, bias=self.bias, loss_tokens=loss_tokens
        )

    def _transformed(self, hidden: Tensor) -> Tensor:
        return self.norm(self.activation(self.transform(hidden)))


class SequenceHead(EncoderHead):
    """Labels of a whole sequence, from the state of its first token."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.pooler = nn.Linear(config.n_embd, config.n_embd)
        self.dropout = nn.Dropout(config.dropout)
        self.out = nn.Linear(config.n_embd, config.n_labels)

    def weight(self, embedding: Tensor) -> Tensor:
        """See ``EncoderHead.weight``."""
        return self.out.weight

    def logits(self, hidden: Float[Tensor, "B T C"], embedding: Float[Tensor, "V C"]) -> Float[Tensor, "B L"]:
        """See ``EncoderHead.logits``."""
        return self.out(self.dropout(torch.tanh(self.pooler(hidden[:, 0]))))


class TokenHead(EncoderHead):
    """Labels of each token."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.dropout = nn.Dropout(config.dropout)
        self.out = nn.Linear(config.n_embd, config.n_labels)

    def weight(self, embedding: Tensor) -> Tensor:
        """See ``EncoderHead.weight``."""
        return self.out.weight

    def logits(
        self, hidden: Float[Tensor, "B T C"], embedding: Float[Tensor, "V C"]
    ) -> Float[Tensor, "B T L"]:
        """See ``EncoderHead.logits``."""
        return self.out(self.dropout(hidden))
