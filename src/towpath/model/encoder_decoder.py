"""The encoder-decoder: a source is read once, a target is written with it in view.

Raffel et al. 2020, arXiv:1910.10683, section 2.1, and version 1.1 of the released code.

B batch, S source tokens, T target tokens, C width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from towpath.core.errors import ModelError
from towpath.model.attention import Placement
from towpath.model.cache import KeyValueCache
from towpath.model.encoder import seen_keys
from towpath.model.encoder_decoder_blocks import Source, Stack
from towpath.model.encoder_decoder_config import T5Config
from towpath.model.language_model import LanguageModel, Output
from towpath.model.loss import IGNORED, chunked_cross_entropy
from towpath.model.sight import Sight

if TYPE_CHECKING:
    from jaxtyping import Float, Int, Shaped


class EncoderDecoder(LanguageModel):
    """A model of one text given another."""

    config: T5Config
    head: nn.Linear | None

    def __init__(self, config: T5Config) -> None:
        super().__init__(config, initialise_t5_)
        self.encoder = Stack(config, writes=False)
        self.decoder = Stack(config, writes=True)
        self.head = (
            None
            if config.tie_embeddings
            else nn.Linear(config.n_embd, self.tokens.num_embeddings, bias=False)
        )

    def forward(
        self,
        input_ids: Int[Tensor, "B S"],
        labels: Int[Tensor, "B T"] | None = None,
        *,
        attention_mask: Shaped[Tensor, "B S"] | None = None,
        decoder_input_ids: Int[Tensor, "B T"] | None = None,
        loss_tokens: float | Tensor | None = None,
    ) -> Output:
        """The loss when ``labels`` are given, else logits of what follows each of ``decoder_input_ids``.

        ``labels`` are the target, -100 where nothing is to be learned, as at its padding; each is
        predicted from those before it and the source. ``attention_mask`` is 0 or False at padding of
        the source. The loss is summed over all labels and divided by ``loss_tokens``, or by their
        number when it is None.

        Raises:
            ModelError: a token id beyond the vocabulary, more tokens than the context holds, or neither
                labels nor decoder_input_ids.
        """
        if decoder_input_ids is None:
            if labels is None:
                raise ModelError(
                    "An encoder-decoder needs labels, or decoder_input_ids that it is to continue. "
                    "To write an answer, use towpath.model.generate."
                )
            decoder_input_ids = self.shifted(labels)
        hidden = self.write(decoder_input_ids, self.read(input_ids, attention_mask))
        if labels is None:
            return Output(None, self.logits(hidden))
        loss = chunked_cross_entropy(
            self._scaled(hidden).flatten(0, 1),
            self.head_weight,
            labels.flatten(),
            loss_tokens=loss_tokens,
            product=self.head_product if self.training else None,
        )
        return Output(loss, None)

    def read(
        self, input_ids: Int[Tensor, "B S"], attention_mask: Shaped[Tensor, "B S"] | None = None
    ) -> Source:
        """The states of a source, computed once."""
        n_tokens = input_ids.shape[1]
        self.check_context(n_tokens)
        stack, seen = self.encoder, seen_keys(attention_mask)
        bias = stack.positions.bias(0, n_tokens)
        place = Placement(Sight(causal=False, mask=seen, bias=bias, scale=1.0))
        x = stack.dropout(self.embed(input_ids))
        for layer, block in enumerate(stack.blocks):
            x = self.through(block, x, place, layer)
        return Source(stack.dropout(stack.final_norm(x)), Sight(causal=False, mask=seen, scale=1.0))

    def write(
        self, input_ids: Int[Tensor, "B T"], source: Source, cache: KeyValueCache | None = None
    ) -> Float[Tensor, "B T C"]:
        """The states of the target before the head; ``cache`` holds what was written before."""
        batch, n_tokens = input_ids.shape
        start = 0 if cache is None else cache.n_tokens
        self.check_context(start + n_tokens)
        if cache is not None:
            cache.check_room(batch, n_tokens)
        stack = self.decoder
        place = Placement(Sight(bias=stack.positions.bias(start, n_tokens), scale=1.0), cache=cache)
        x = stack.dropout(self.embed(input_ids))
        for layer, block in enumerate(stack.blocks):
            x = self.through(block, x, place, layer, source)
        if cache is not None:
            cache.advance(n_tokens)
        return stack.dropout(stack.final_norm(x))

    def logits(self, hidden: Float[Tensor, "*B C"]) -> Float[Tensor, "*B V"]:
        """See ``LanguageModel.logits``."""
        return super().logits(self._scaled(hidden))

    def shifted(self, labels: Int[Tensor, "B T"]) -> Int[Tensor, "B T"]:
        """What the decoder sees of ``labels``: the start, then all but the last."""
        start = labels.new_full((len(labels), 1), self.config.start_id)
        before = torch.cat((start, labels[:, :-1]), dim=1)
        return before.masked_fill(before == IGNORED, self.config.start_id)

    def new_cache(self, batch: int, max_tokens: int) -> KeyValueCache:
        """An empty cache for ``batch`` rows of at most ``max_tokens`` written tokens.

        Raises:
            ModelError: ``max_tokens`` is beyond the context.
        """
        self.check_context(max_tokens)
        config, weight = self.config, self.tokens.weight
        shape = (config.decoder_layers, batch, config.kv_heads, max_tokens, config.head_width)
        return KeyValueCache(shape, dtype=weight.dtype, device=weight.device)

    def kept(self, source: Source) -> Source:
        """``source`` with the keys and values of every layer, for many tokens to come."""
        layers = (block.cross_attention.keys_values(source.states) for block in self.decoder.blocks)  # pyright: ignore[reportCallIssue, reportAttributeAccessIssue]
        return Source(source.states, source.sight, dict(enumerate(layers)))

    def _scaled(self, hidden: Tensor) -> Tensor:
        """Raffel et al. 2020: a tied head of embeddings of variance 1 needs states of variance 1 / C."""
        return hidden * self.config.n_embd**-0.5 if self.head is None else hidden


class Answer:
    """An encoder-decoder's text: the source is read when it is made, then one token after the other."""

    def __init__(self, model: EncoderDecoder, source_ids: Sequence[int], max_new_tokens: int) -> None:
        self.model = model
        self.given: Sequence[int] = (model.config.start_id,)
        self.n_new = min(max_new_tokens, model.config.n_positions)
        was_training = model.training
        with torch.inference_mode():
            ids = torch.tensor([source_ids], device=model.device)
            self.source = model.kept(model.eval().read(ids))
        model.train(was_training)
        self.cache = model.new_cache(batch=1, max_tokens=self.n_new)

    def hidden(self, ids: Sequence[int]) -> Float[Tensor, "1 T C"]:
        """See ``towpath.model.generate.Writer``."""
        return self.model.write(torch.tensor([ids], device=self.model.device), self.source, self.cache)


def initialise_t5_(model: EncoderDecoder, generator: torch.Generator) -> None:
    """Normal, by the fan-in; queries smaller by sqrt(D), since scores are not divided; the embedding 1.

    As transformers has it after the released code, but for an untied head: normal 1 / sqrt(C), so
    that the first loss is near ln V, where transformers draws it with deviation 1.
    """
    config = model.config
    width, inner = config.n_embd**-0.5, (config.n_head * config.head_width) ** -0.5
    for name, parameter in model.named_parameters():
        if parameter.dim() == 1:
            parameter.fill_(1.0)
            continue
        parameter.normal_(0.0, 1.0, generator=generator)
        if "attention.out" in name:
            parameter.mul_(inner)
        elif name.endswith("feed_forward.out.weight"):
            parameter.mul_(config.inner_width**-0.5)
        elif not name.startswith("tokens."):
            parameter.mul_(width)
    for stack in (model.encoder, model.decoder):
        for block in stack.blocks:
            queries = config.n_head * config.head_width
            block.attention.qkv.weight[:queries].mul_(config.head_width**-0.5)  # pyright: ignore[reportIndexIssue, reportAttributeAccessIssue, reportOptionalSubscript]
    for block in model.decoder.blocks:
        block.cross_attention.query.weight.mul_(config.head_width**-0.5)  # pyright: ignore[reportAttributeAccessIssue, reportCallIssue]
