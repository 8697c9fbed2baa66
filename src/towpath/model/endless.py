"""Texts without an end: generation beyond the context, in constant memory.

Xiao et al. 2023 (StreamingLLM), arXiv:2309.17453, section 3.2: the cache keeps the first tokens, on
which attention leans, and a window of the newest; positions are those inside the cache. What lies
between is forgotten: nothing can be recalled from it.

For a model of one layer the logits are those of a pass over the kept tokens alone. In deeper ones
they are not: the keys and values of a kept token were made while tokens since forgotten were still
seen, and by states of their positions at that time. The paper does the same; to compute them again
for each token would cost a whole window every time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from towpath.core.errors import ModelError
from towpath.model.config import SamplingConfig
from towpath.model.decoder import Decoder
from towpath.model.generate import draw_tokens, next_logits
from towpath.model.patterns.sinks import Sinks
from towpath.model.sampling import Sampler

if TYPE_CHECKING:
    from jaxtyping import Float

SINK_TOKENS = 4
"""Xiao et al. 2023, table 2: more gain nothing."""


def generate_endlessly(
    model: Decoder,
    prompt_ids: Sequence[int],
    sampling: SamplingConfig,
    *,
    window_tokens: int | None = None,
    vocab_size: int | None = None,
) -> Iterator[int]:
    """As ``generate``, with prompt and answer of any length, each token as dear as the one before.

    ``window_tokens``: how many of the newest tokens are kept; None: what the model's own pattern
    ``sinks`` says, or all that the context holds.

    Raises:
        ModelError: the prompt is empty, sinks and window are beyond the context, or the model adds
            positions to its embeddings (learned, sinusoidal).
    """
    if not prompt_ids:
        raise ModelError("The prompt is empty. Give at least one token, for example the end of text.")
    writer = EndlessContinuation(model, prompt_ids, sampling.max_new_tokens, window_tokens)
    logits = next_logits(model, writer, prompt_ids)[:vocab_size]
    return draw_tokens(model, writer, logits, Sampler(sampling))


class EndlessContinuation:
    """A decoder's text of which the first and the newest tokens are kept; see ``Writer``."""

    def __init__(
        self,
        model: Decoder,
        prompt_ids: Sequence[int],
        max_new_tokens: int,
        window_tokens: int | None = None,
    ) -> None:
        self.model, self.given, self.n_new = model, prompt_ids, max_new_tokens
        sinks, window = kept_tokens(model)
        self.cache = model.new_rolling_cache(1, sinks, window_tokens or window)

    def hidden(self, ids: Sequence[int]) -> Float[Tensor, "1 T C"]:
        """See ``Writer.hidden``; states of the last token alone where some had to be forgotten."""
        room = self.cache.max_tokens - self.cache.n_seen
        parts = [ids[:room]] if room > 0 else []
        parts += [[token] for token in ids[max(0, room) :]]
        states = [
            self.model.trunk(torch.tensor([part], device=self.model.device), self.cache) for part in parts
        ]
        return states[-1]


def kept_tokens(model: Decoder) -> tuple[int, int]:
    """How many first and newest tokens an endless text of ``model`` keeps, unless told otherwise."""
    pattern = getattr(model.config, "attention", None)
    context = model.config.n_positions
    if isinstance(pattern, Sinks) and pattern.sink_tokens + pattern.window_tokens <= context:
        return pattern.sink_tokens, pattern.window_tokens
    sinks = min(SINK_TOKENS, context - 1)
    return sinks, context - sinks
