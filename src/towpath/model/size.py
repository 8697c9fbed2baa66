"""How big a model is and what a token costs, from its configuration, before any weight is made.

FLOPs follow Chowdhery et al. 2022 (PaLM), arXiv:2204.02311, appendix B, the usual base of model
FLOPs utilisation: 2 for each weight that multiplies a token, 4 T for each channel of attention
(scores and their sum over all T tokens of the context: the causal half is not taken off), and
three times as much with the backward pass. Lookups, norms and activations are not counted.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import nn

from towpath.model.config import TransformerConfig
from towpath.model.encoder_decoder_config import T5Config
from towpath.model.language_model import LanguageModel
from towpath.model.linear import StackedLinear

_WITH_BACKWARD = 3


def count_parameters(config: TransformerConfig) -> int:
    """Number of weights of the model of ``config``; a tied head is counted once.

    Raises:
        ModelError: ``config.vocab_size`` is not set.
    """
    return _outline(config).num_parameters()


def count_active_parameters(config: TransformerConfig) -> int:
    """Number of weights that one token goes through: of experts, only those that it is sent to.

    Raises:
        ModelError: ``config.vocab_size`` is not set.
    """
    model = _outline(config)
    stacks = [module for module in model.modules() if isinstance(module, StackedLinear)]
    idle = sum((len(stack.weight) - stack.used) * stack.weight[0].numel() for stack in stacks)
    return model.num_parameters() - idle


def flops_per_token(
    config: TransformerConfig, context_tokens: int | None = None, *, training: bool = True
) -> int:
    """Floating point operations a token, the backward pass included when ``training``.

    ``context_tokens``: how many tokens attention spans; None: the whole context. Of an encoder-decoder a
    token is one that is read and one that is written, with as many tokens each. A classifier's output
    is not counted, and of experts those that a token is sent to.

    Raises:
        ModelError: ``config.vocab_size`` is not set.
    """
    model = _outline(config)
    weights = sum(_matrices(model))
    channels = _attentions(config) * config.n_head * config.head_width
    forward = 2 * weights + 4 * channels * (context_tokens or config.n_positions)
    return forward * (_WITH_BACKWARD if training else 1)


def print_model_structure(model: nn.Module) -> None:
    """Print the name and shape of every weight, one a line."""
    for name, parameter in model.named_parameters():
        print(f"{name}: {parameter.shape}")


def _matrices(model: LanguageModel) -> Iterator[int]:
    """The sizes of the matrices that multiply a token."""
    head = model.head_weight
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear) and module.weight is not head and name != "head.pooler":
            yield module.weight.numel()
        elif isinstance(module, StackedLinear):
            yield module.used * module.weight[0].numel()
    if head.shape[0] == model.tokens.num_embeddings:
        yield head.numel()


def _attentions(config: TransformerConfig) -> int:
    """How often a token attends: once a layer, and once more where it looks at a source."""
    return config.n_layer + 2 * config.decoder_layers if isinstance(config, T5Config) else config.n_layer


def _outline(config: TransformerConfig) -> LanguageModel:
    """The model without memory for its weights."""
    with torch.device("meta"):
        return config.layout()
