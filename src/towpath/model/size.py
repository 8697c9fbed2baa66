"""How big a model is and what a token costs, from its configuration, before any weight is made.

FLOPs follow Chowdhery et al. 2022 (PaLM), arXiv:2204.02311, appendix B, the usual base of model
FLOPs utilisation: 2 for each weight that multiplies a token, 4 T for each channel of attention
(scores and their sum over all T tokens of the context: the causal half is not taken off), and
three times as much with the backward pass. Lookups, norms and activations are not counted.
"""

from __future__ import annotations

import torch
from torch import nn

from towpath.model.config import DecoderConfig, TransformerConfig
from towpath.model.decoder import Decoder

_WITH_BACKWARD = 3


def count_parameters(config: TransformerConfig) -> int:
    """Number of weights of the model of ``config``; a tied head is counted once.

    Raises:
        ModelError: ``config.vocab_size`` is not set.
    """
    with torch.device("meta"):
        return config.layout().num_parameters()


def flops_per_token(
    config: DecoderConfig, context_tokens: int | None = None, *, training: bool = True
) -> int:
    """Floating point operations a token, the backward pass included when ``training``.

    ``context_tokens``: how many tokens attention spans; None: the whole context.

    Raises:
        ModelError: ``config.vocab_size`` is not set.
    """
    model = _outline(config)
    weights = sum(module.weight.numel() for module in model.blocks.modules() if isinstance(module, nn.Linear))
    head = model.head_weight.numel()
    channels = config.n_layer * config.n_head * config.head_width
    forward = 2 * (weights + head) + 4 * channels * (context_tokens or config.n_positions)
    return forward * (_WITH_BACKWARD if training else 1)


def print_model_structure(model: nn.Module) -> None:
    """Print the name and shape of every weight, one a line."""
    for name, parameter in model.named_parameters():
        print(f"{name}: {parameter.shape}")


def _outline(config: DecoderConfig) -> Decoder:
    """The decoder without memory for its weights."""
    with torch.device("meta"):
        return config.layout()
