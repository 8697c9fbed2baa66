"""Tiny decoders, and annotations checked at run time: every shape in a signature is an assertion."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import jaxtyping
import pytest
import torch
from beartype import BeartypeConf, beartype

from towpath.model.config import DecoderConfig, GPT2Config, ModernConfig
from towpath.model.decoder import Decoder, build

CHECKED_MODULES = [
    "attention",
    "cache",
    "decoder",
    "encoder",
    "encoder_decoder",
    "encoder_decoder_blocks",
    "encoder_heads",
    "experts",
    "experts_decoder",
    "feed_forward",
    "language_model",
    "linear",
    "loss",
    "memory",
    "norms",
    "positions.added",
    "positions.base",
    "positions.biases",
    "positions.rotations",
    "rotary",
    "sight",
]

CONFIGS: dict[str, DecoderConfig] = {
    "gpt2": GPT2Config(vocab_size=101, n_positions=32, n_embd=24, n_layer=2, n_head=3, dropout=0.0),
    "modern": ModernConfig(vocab_size=101, n_positions=32, n_embd=32, n_layer=2, n_head=4, n_kv_head=2),
    "modern-untied": ModernConfig(
        vocab_size=101, n_positions=32, n_embd=24, n_layer=2, n_head=2, head_dim=16, tie_embeddings=False
    ),
}


@pytest.fixture(params=list(CONFIGS))
def config(request: pytest.FixtureRequest) -> DecoderConfig:
    return CONFIGS[request.param]


@pytest.fixture
def model(config: DecoderConfig) -> Decoder:
    """A tiny decoder whose weights are large enough for every part to matter, in evaluation mode."""
    return awake(config)


@pytest.fixture
def tiny_gpt() -> Decoder:
    return awake(CONFIGS["gpt2"])


@pytest.fixture
def ids() -> torch.Tensor:
    """Token ids (3, 20)."""
    return torch.randint(0, 101, (3, 20), generator=torch.Generator().manual_seed(1))


def awake(config: DecoderConfig) -> Decoder:
    """The decoder of ``config`` with all weights drawn anew: no zero, no one, no tiny logit."""
    model = build(config, seed=7)
    generator = torch.Generator().manual_seed(11)
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.copy_(noise * 0.2 if parameter.dim() > 1 else 1 + noise * 0.3)
    return model.eval()


@pytest.fixture(scope="module")
def checked_annotations() -> Iterator[None]:
    """Every function and method of the checked modules is checked by beartype in modules that ask for it."""
    modules = [importlib.import_module(f"towpath.model.{name}") for name in CHECKED_MODULES]
    with pytest.MonkeyPatch.context() as patch:
        for module in modules:
            for name in ("Bool", "Float", "Int"):
                patch.setattr(module, name, getattr(jaxtyping, name), raising=False)
            patch.setattr(module, "Tensor", torch.Tensor, raising=False)
        for module in modules:
            _check_functions(patch, module, modules)
            for owner in _classes(module):
                for name, method in list(vars(owner).items()):
                    if inspect.isfunction(method) and not name.startswith("__"):
                        patch.setattr(owner, name, _checked(method))
        yield


def _check_functions(patch: pytest.MonkeyPatch, module: ModuleType, users: list[ModuleType]) -> None:
    for name, function in list(vars(module).items()):
        if inspect.isfunction(function) and function.__module__ == module.__name__:
            checked = _checked(function)
            for user in users:
                if vars(user).get(name) is function:
                    patch.setattr(user, name, checked)


def _classes(module: ModuleType) -> list[type]:
    return [
        item
        for item in vars(module).values()
        if inspect.isclass(item)
        and item.__module__ == module.__name__
        and not issubclass(item, tuple | torch.autograd.Function)
    ]


def _checked(function: Callable[..., Any]) -> Callable[..., Any]:
    return jaxtyping.jaxtyped(function, typechecker=beartype(conf=BeartypeConf(is_pep484_tower=True)))
