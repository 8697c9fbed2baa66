"""Generation: a prompt's token ids in, new token ids out, one at a time.

Knows nothing of text; ``text.py`` does. Keys and values of earlier tokens are cached, so each new
token costs one token's work. Dropping the iterator stops the work.

B batch (here 1), T tokens, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from towpath.core.errors import ModelError
from towpath.model.cache import KeyValueCache
from towpath.model.config import SamplingConfig
from towpath.model.decoder import Decoder
from towpath.model.sampling import Sampler

if TYPE_CHECKING:
    from jaxtyping import Float


def generate(
    model: Decoder,
    prompt_ids: Sequence[int],
    sampling: SamplingConfig,
    *,
    vocab_size: int | None = None,
) -> Iterator[int]:
    """Tokens that continue ``prompt_ids``, as they are drawn.

    Ends after one of ``sampling.stop_ids``, which is given out as the last, after
    ``sampling.max_new_tokens``, or where the context is full. Ids from ``vocab_size`` on are never
    drawn: a tokenizer's size, where the model's vocabulary is padded beyond it.

    Raises:
        ModelError: at once, when the prompt is empty, longer than the context or not in the
            vocabulary; later, when logits are not finite.
    """
    n_prompt, context = len(prompt_ids), model.config.n_positions
    if n_prompt == 0:
        raise ModelError("The prompt is empty. Give at least one token, for example the end of text.")
    if n_prompt > context:
        raise ModelError(
            f"The prompt has {n_prompt} tokens and the model's context holds {context}. "
            f"Shorten it by at least {n_prompt - context}."
        )
    n_new = min(sampling.max_new_tokens, context - n_prompt + 1)
    cache = model.new_cache(batch=1, max_tokens=min(context, n_prompt + n_new - 1))
    logits = next_logits(model, prompt_ids, cache)[:vocab_size]
    return _draw(model, (cache, logits), Sampler(sampling), list(prompt_ids), n_new)


def next_logits(model: Decoder, ids: Sequence[int], cache: KeyValueCache) -> Float[Tensor, " V"]:
    """fp32 logits on the CPU of the token after ``ids``, which follow what ``cache`` holds."""
    was_training = model.training
    if was_training:
        model.eval()
    try:
        with torch.inference_mode():
            hidden = model.trunk(torch.tensor([ids], device=model.device), cache)  # (B, T, C)
            return model.logits(hidden[0, -1]).float().cpu()
    finally:
        if was_training:
            model.train()


def _draw(
    model: Decoder,
    state: tuple[KeyValueCache, Tensor],
    sampler: Sampler,
    prompt_ids: list[int],
    n_new: int,
) -> Iterator[int]:
    cache, logits = state
    vocab_size = len(logits)
    seen = torch.zeros(vocab_size, dtype=torch.bool)
    seen[[token for token in prompt_ids if token < vocab_size]] = True
    for number in range(1, n_new + 1):
        token = sampler.draw(logits, seen)
        yield token
        if number == n_new or token in sampler.config.stop_ids:
            return
        seen[token] = True
        logits = next_logits(model, [token], cache)[:vocab_size]
