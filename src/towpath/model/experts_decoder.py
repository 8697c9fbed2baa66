"""The decoder with experts: the Qwen3 layout, an ``ExpertLayer`` in each block.

Its losses beside the cross entropy (balance, router z-loss) change gradients and never the loss that
is given: they are added as x - x, of which only the first has a gradient. So whatever a training
does to the loss (scales it, sums it over passes and processes) it does to them alike. Over a step
each pass counts as its share of the step's targets: a mean, like the cross entropy.

B batch, T tokens.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from towpath.model.attention import Attention, HeadShape
from towpath.model.decoder import Block, Decoder, Parts
from towpath.model.experts import ExpertLayer
from towpath.model.experts_config import MoEConfig
from towpath.model.language_model import Output
from towpath.model.layouts import initialise_modern_
from towpath.model.loss import IGNORED
from towpath.model.norms import RMSNorm

if TYPE_CHECKING:
    from jaxtyping import Float, Int


class ExpertDecoder(Decoder):
    """A causal language model with experts."""

    config: MoEConfig  # pyright: ignore[reportIncompatibleVariableOverride]

    def forward(
        self,
        input_ids: Int[Tensor, "B T"],
        labels: Int[Tensor, "B T"] | None = None,
        *,
        loss_tokens: float | Tensor | None = None,
        **settings: Any,
    ) -> Output:
        """See ``Decoder.forward``. In training the gradient is that of the auxiliary losses too."""
        learns = labels is not None and self.training and torch.is_grad_enabled()
        self._keep_losses(learns)
        output = super().forward(input_ids, labels, loss_tokens=loss_tokens, **settings)
        if not learns or labels is None or output.loss is None:
            return output
        share: float | Tensor = 1.0
        if loss_tokens is not None:
            share = (labels[:, 1:] != IGNORED).sum() / loss_tokens
        unseen = self._auxiliary(share)
        return Output(output.loss + (unseen - unseen.detach()), None)

    @property
    def expert_layers(self) -> list[ExpertLayer]:
        """The experts of each block."""
        return [block.feed_forward for block in self.blocks]  # pyright: ignore[reportReturnType]

    def _auxiliary(self, share: float | Tensor) -> Float[Tensor, ""]:
        """What the last pass adds to gradients, where it holds ``share`` of the step's targets."""
        losses = [layer.losses for layer in self.expert_layers]
        self._keep_losses(False)
        weighted = torch.stack([found.weighted for found in losses if found is not None]).mean()
        counted = torch.stack([found.counted for found in losses if found is not None]).sum()
        return share * weighted + counted

    def _keep_losses(self, keep: bool) -> None:
        for layer in self.expert_layers:
            layer.keeps_losses, layer.losses = keep, None


def experts(config: MoEConfig) -> ExpertDecoder:
    """The layout of Qwen3-MoE (Qwen Team 2025, arXiv:2505.09388, section 2)."""
    epsilon = config.norm_epsilon
    heads = HeadShape(config.n_embd, config.n_head, config.kv_heads, config.head_width)
    blocks = [
        Block(
            Attention(heads, bias=False, norm_epsilon=epsilon),
            ExpertLayer(config),
            partial(RMSNorm, config.n_embd, epsilon),
        )
        for _ in range(config.n_layer)
    ]
    parts = Parts(
        positions=config.positions.build(config),
        attention=config.attention,
        blocks=blocks,
        final_norm=RMSNorm(config.n_embd, epsilon),
        tied=config.tie_embeddings,
        initialise_=initialise_modern_,
    )
    return ExpertDecoder(config, parts)
