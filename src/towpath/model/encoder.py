"""The encoder: token ids in, hidden tokens or labels out; every token sees all others.

Devlin et al. 2019, arXiv:1810.04805, section 3 and appendix A.2. Deviations: no next-sentence
prediction, which Liu et al. 2019, arXiv:1907.11692, section 4.2, found to be of no use, and so no
pooler beside the masked head, as in transformers' BertForMaskedLM.

B batch, T tokens, C width, V vocabulary, L labels.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from towpath.model.attention import Attention, HeadShape, Placement
from towpath.model.encoder_config import BertConfig, Head
from towpath.model.encoder_heads import EncoderHead, MaskedHead, SequenceHead, TokenHead
from towpath.model.feed_forward import FeedForward
from towpath.model.language_model import LanguageModel, Output, build
from towpath.model.sight import Sight

if TYPE_CHECKING:
    from jaxtyping import Float, Int, Shaped

STANDARD_DEVIATION = 0.02
"""Devlin et al. 2019, the released code, for every matrix and embedding (there cut off at two of them)."""


class Encoder(LanguageModel):
    """A bidirectional language model, or a classifier of sequences or tokens made from one."""

    config: BertConfig
    head: EncoderHead

    def __init__(self, config: BertConfig) -> None:
        super().__init__(config, initialise_bert_)
        self.positions = nn.Embedding(config.n_positions, config.n_embd)
        self.token_types = nn.Embedding(config.n_token_types, config.n_embd)
        self.embedding_norm = nn.LayerNorm(config.n_embd, eps=config.norm_epsilon)
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(_block(config) for _ in range(config.n_layer))
        self.head = _HEADS[config.head](config)

    @property
    def head_weight(self) -> Float[Tensor, "V C"]:
        """The output matrix: the token embedding, or the labels' of a classifier."""
        return self.head.weight(self.tokens.weight)

    def forward(
        self,
        input_ids: Int[Tensor, "B T"],
        labels: Int[Tensor, "B ..."] | None = None,
        *,
        attention_mask: Shaped[Tensor, "B T"] | None = None,
        token_type_ids: Int[Tensor, "B T"] | None = None,
        loss_tokens: float | Tensor | None = None,
    ) -> Output:
        """The loss when ``labels`` are given, else logits.

        ``labels[:, t]`` is what stands at t, -100 where nothing is to be learned; of the sequence head
        one label a row. ``attention_mask`` is 0 or False at padding, which nothing sees. The loss is
        summed over all labels and divided by ``loss_tokens``, or by their number when it is None.

        Raises:
            ModelError: a token id beyond the vocabulary, or more tokens than the context holds.
        """
        hidden = self.trunk(input_ids, attention_mask, token_type_ids)
        if labels is None:
            return Output(None, self.head.logits(hidden, self.tokens.weight))
        return Output(self.head.loss(hidden, self.tokens.weight, labels, loss_tokens), None)

    def trunk(
        self,
        input_ids: Int[Tensor, "B T"],
        attention_mask: Shaped[Tensor, "B T"] | None = None,
        token_type_ids: Int[Tensor, "B T"] | None = None,
    ) -> Float[Tensor, "B T C"]:
        """Everything before the head: the state of every token."""
        n_tokens = input_ids.shape[1]
        self.check_context(n_tokens)
        place = Placement(Sight(causal=False, mask=seen_keys(attention_mask)))
        types = self.token_types.weight[0] if token_type_ids is None else self.token_types(token_type_ids)
        x = self.embed(input_ids) + self.positions.weight[:n_tokens] + types
        x = self.dropout(self.embedding_norm(x))
        for layer, block in enumerate(self.blocks):
            x = self.through(block, x, place, layer)
        return x


class PostNormBlock(nn.Module):
    """One layer: attention, then feed-forward, each added to its input and then normalised."""

    def __init__(self, attention: Attention, feed_forward: FeedForward, config: BertConfig) -> None:
        super().__init__()
        norm = partial(nn.LayerNorm, config.n_embd, eps=config.norm_epsilon)
        self.attention, self.attention_norm = attention, norm()
        self.feed_forward, self.feed_forward_norm = feed_forward, norm()
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Float[Tensor, "B T C"], place: Placement, layer: int) -> Float[Tensor, "B T C"]:
        """The stream after this block."""
        x = self.attention_norm(x + self.dropout(self.attention(x, place, layer)))
        return self.feed_forward_norm(x + self.dropout(self.feed_forward(x)))


def seen_keys(attention_mask: Shaped[Tensor, "B T"] | None) -> Shaped[Tensor, "B 1 1 T"] | None:
    """The mask of a ``Sight`` that leaves out padding."""
    return None if attention_mask is None else attention_mask.bool()[:, None, None, :]


def bert(config: BertConfig) -> Encoder:
    """BERT: Devlin et al. 2019, section 3."""
    return Encoder(config)


def initialise_bert_(model: Encoder, generator: torch.Generator) -> None:
    """Normal 0.02 for matrices and embeddings, 0 for biases, 1 for scales."""
    for name, parameter in model.named_parameters():
        if parameter.dim() == 1:
            parameter.fill_(0.0 if name.endswith("bias") else 1.0)
        else:
            parameter.normal_(0.0, STANDARD_DEVIATION, generator=generator)


def with_head(model: Encoder, head: Head, n_labels: int = 2, seed: int = 0) -> Encoder:
    """A copy of ``model`` with another head, its weights drawn from ``seed``, to be fine-tuned."""
    config = model.config.model_copy(update={"head": head, "n_labels": n_labels})
    other = build(config, seed)
    assert isinstance(other, Encoder)
    kept = {name: tensor for name, tensor in model.state_dict().items() if not name.startswith("head.")}
    other.load_state_dict(kept, strict=False)
    return other.to(model.device, model.tokens.weight.dtype)


_HEADS = {"masked": MaskedHead, "sequence": SequenceHead, "token": TokenHead}


def _block(config: BertConfig) -> PostNormBlock:
    shape = HeadShape(config.n_embd, config.n_head, config.kv_heads, config.head_width)
    attention = Attention(shape, bias=True, dropout=config.dropout)
    return PostNormBlock(attention, FeedForward(config.n_embd, config.inner_width, config.activation), config)
