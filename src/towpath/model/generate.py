"""Generation: a prompt's token ids in, new token ids out, one at a time.

Knows nothing of text; ``text.py`` does. Keys and values of earlier tokens are cached, so each new
token costs one token's work. A decoder continues its prompt; an encoder-decoder reads it once and
writes an answer. Dropping the iterator stops the work.

B batch (here 1), T tokens, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from towpath.core.errors import ModelError
from towpath.model.config import SamplingConfig
from towpath.model.decoder import Decoder
from towpath.model.language_model import LanguageModel
from towpath.model.sampling import Sampler

if TYPE_CHECKING:
    from jaxtyping import Float


class Writer(Protocol):
    """One text in the making."""

    given: Sequence[int]
    """Ids before the first that is drawn."""
    n_new: int
    """How many tokens can be drawn."""

    def hidden(self, ids: Sequence[int]) -> Float[Tensor, "1 T C"]:
        """States of ``ids``, which follow all that came before."""
        ...


def generate(
    model: LanguageModel,
    prompt_ids: Sequence[int],
    sampling: SamplingConfig,
    *,
    vocab_size: int | None = None,
) -> Iterator[int]:
    """Tokens that continue ``prompt_ids``, or of an encoder-decoder answer them, as they are drawn.

    Ends after one of ``sampling.stop_ids``, which is given out as the last, after
    ``sampling.max_new_tokens``, or where the context is full. Ids from ``vocab_size`` on are never
    drawn: a tokenizer's size, where the model's vocabulary is padded beyond it.

    Raises:
        ModelError: at once, when the prompt is empty, longer than the context or not in the
            vocabulary, or the model is an encoder; later, when logits are not finite.
    """
    _check_prompt(model, len(prompt_ids))
    writer = _writer(model, prompt_ids, sampling.max_new_tokens)
    logits = next_logits(model, writer, writer.given)[:vocab_size]
    return draw_tokens(model, writer, logits, Sampler(sampling))


def next_logits(model: LanguageModel, writer: Writer, ids: Sequence[int]) -> Float[Tensor, " V"]:
    """fp32 logits on the CPU of the token after ``ids``, which follow what ``writer`` holds."""
    was_training = model.training
    if was_training:
        model.eval()
    try:
        with torch.inference_mode():
            return model.logits(writer.hidden(ids)[0, -1]).float().cpu()
    finally:
        if was_training:
            model.train()


class Continuation:
    """A decoder's text: its prompt and what follows, in one cache."""

    def __init__(self, model: Decoder, prompt_ids: Sequence[int], max_new_tokens: int) -> None:
        context, n_prompt = model.config.n_positions, len(prompt_ids)
        self.model, self.given = model, prompt_ids
        self.n_new = min(max_new_tokens, context - n_prompt + 1)
        self.cache = model.new_cache(batch=1, max_tokens=min(context, n_prompt + self.n_new - 1))

    def hidden(self, ids: Sequence[int]) -> Float[Tensor, "1 T C"]:
        """See ``Writer.hidden``."""
        return self.model.trunk(torch.tensor([ids], device=self.model.device), self.cache)


def _check_prompt(model: LanguageModel, n_prompt: int) -> None:
    context = model.config.n_positions
    if model.config.family == "encoder":
        raise ModelError(
            f"{model.config.type} is an encoder: it fills in hidden tokens and writes no text. "
            "Take a decoder (gpt2, modern) or an encoder-decoder (t5)."
        )
    if n_prompt == 0:
        raise ModelError("The prompt is empty. Give at least one token, for example the end of text.")
    if n_prompt > context:
        raise ModelError(
            f"The prompt has {n_prompt} tokens and the model's context holds {context}. "
            f"Shorten it by at least {n_prompt - context}."
        )


def _writer(model: LanguageModel, prompt_ids: Sequence[int], max_new_tokens: int) -> Writer:
    if isinstance(model, Decoder):
        return Continuation(model, prompt_ids, max_new_tokens)
    from towpath.model.encoder_decoder import Answer, EncoderDecoder

    assert isinstance(model, EncoderDecoder)
    return Answer(model, prompt_ids, max_new_tokens)


def draw_tokens(model: LanguageModel, writer: Writer, logits: Tensor, sampler: Sampler) -> Iterator[int]:
    """What ``sampler`` draws from ``logits``, then from those of ``writer`` after each drawn token."""
    vocab_size = len(logits)
    seen = torch.zeros(vocab_size, dtype=torch.bool)
    seen[[token for token in writer.given if token < vocab_size]] = True
    for number in range(1, writer.n_new + 1):
        token = sampler.draw(logits, seen)
        yield token
        if number == writer.n_new or token in sampler.config.stop_ids:
            return
        seen[token] = True
        logits = next_logits(model, writer, [token])[:vocab_size]
