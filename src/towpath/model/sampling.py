"""From logits to the next token: penalty, temperature, top-k, top-p, one draw.

The order and the meaning of each setting are those of transformers' ``generate``, so that a model
answers alike in both. All of it happens on the CPU in fp32: the same logits and seed give the same
token on every device.

V vocabulary, K candidates.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from towpath.core.errors import ModelError
from towpath.model.config import SamplingConfig

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int


class Sampler:
    """Draws tokens by ``config``, with a random stream of its own."""

    def __init__(self, config: SamplingConfig) -> None:
        self.config = config
        self._random = torch.Generator()
        if config.seed is None:
            self._random.seed()
        else:
            self._random.manual_seed(config.seed)

    def draw(self, logits: Float[Tensor, " V"], seen: Bool[Tensor, " V"]) -> int:
        """The next token. ``seen`` marks the tokens that occurred before.

        Raises:
            ModelError: a logit is NaN or infinite.
        """
        if not torch.isfinite(logits).all():
            raise ModelError(
                "The model's logits are not finite (NaN or infinity), so no token can be drawn. "
                "Its weights are damaged or its training went wrong."
            )
        logits = penalised(logits, seen, self.config.repetition_penalty)
        if self.config.temperature == 0:
            return int(logits.argmax())
        scores, tokens = candidates(logits / self.config.temperature, self.config)
        place = torch.multinomial(scores.softmax(0), 1, generator=self._random)
        return int(tokens[place])


def penalised(logits: Float[Tensor, " V"], seen: Bool[Tensor, " V"], penalty: float) -> Float[Tensor, " V"]:
    """Logits of ``seen`` tokens divided by ``penalty`` where positive, times it where negative.

    Keskar et al. 2019, arXiv:1909.05858, section 4.1, with transformers' rule for negative logits.
    """
    if penalty == 1:
        return logits
    return torch.where(seen, torch.where(logits > 0, logits / penalty, logits * penalty), logits)


def candidates(
    scores: Float[Tensor, " V"], config: SamplingConfig
) -> tuple[Float[Tensor, " K"], Int[Tensor, " K"]]:
    """Scores and ids of the tokens that top-k and top-p leave, at least one."""
    vocab_size = len(scores)
    if config.top_k is None and config.top_p == 1:
        return scores, torch.arange(vocab_size)
    scores, tokens = scores.topk(min(config.top_k or vocab_size, vocab_size))  # best first
    before = scores.softmax(0).cumsum(0).roll(1)  # probability of all better tokens
    before[0] = 0
    kept = int((before < config.top_p).sum().clamp(min=1)) if config.top_p < 1 else len(scores)
    return scores[:kept], tokens[:kept]
