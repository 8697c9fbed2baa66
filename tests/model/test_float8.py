"""8-bit floats, emulated: torchao's layers in our models, near fp32, weights and names as before."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from towpath.model.config import ModernConfig
from towpath.model.encoder_decoder_config import T5Config
from towpath.model.float8 import use_float8_
from towpath.model.language_model import LanguageModel, build
from towpath.model.linear import FusedLinear, fused_rows
from towpath.train.config import TrainConfig
from towpath.train.optimizer import build_optimizer

pytest.importorskip("torchao", reason="torchao is not installed")

pytestmark = pytest.mark.slow  # for what importing torchao takes
IDS = torch.randint(0, 96, (2, 48), generator=torch.Generator().manual_seed(0))


def decoder() -> LanguageModel:
    config = ModernConfig(
        vocab_size=96, n_positions=48, n_embd=64, n_layer=2, n_head=4, n_kv_head=2, tie_embeddings=False
    )
    model = build(config, seed=0)
    generator = torch.Generator().manual_seed(1)
    for value in model.parameters():  # a new head is zero, and no gradient comes through it
        if value.dim() == 2:
            nn.init.normal_(value, std=0.1, generator=generator)
    return model


def learned(model: LanguageModel) -> torch.Tensor:
    model(IDS, IDS).loss.backward()
    named = model.named_parameters()
    blocks = [value.grad for name, value in named if name.startswith("blocks.") and value.dim() == 2]
    return torch.cat([grad.flatten() for grad in blocks if grad is not None])


def test_a_step_is_near_that_of_fp32_and_every_weight_learns() -> None:
    plain, rounded = decoder(), decoder()
    assert use_float8_(rounded, emulated=True) == 2 * 4
    expected, got = learned(plain), learned(rounded)
    assert got.shape == expected.shape
    # e5m2 rounds gradients to 2 bits, 7 % rms a product, and 8 products follow each other
    assert 0.95 < float(torch.cosine_similarity(got, expected, dim=0)) < 0.9999


def test_one_layer_rounds_as_its_formats_do() -> None:
    generator = torch.Generator().manual_seed(0)
    plain = nn.Sequential(FusedLinear(64, (96, 32), bias=False))
    rounded = copy.deepcopy(plain)
    assert use_float8_(rounded, emulated=True) == 1
    errors = []
    x, upstream = (torch.randn(80, width, generator=generator) for width in (64, 128))
    found = []
    for layer in (plain, rounded):
        given = x.clone().requires_grad_()
        out = layer(given)
        out.backward(upstream)
        found.append((out.detach(), given.grad, next(layer.parameters()).grad))
    for expected, got in zip(*found, strict=True):
        errors.append(float((got - expected).norm() / expected.norm()))
    forward, back_to_inputs, back_to_weights = errors
    assert 0.01 < forward < 0.06  # e4m3 has 3 bits: 2.6 % rms a factor
    assert 0.02 < back_to_inputs < 0.1
    assert 0.02 < back_to_weights < 0.1


def test_names_weights_and_parts_stay_and_the_head_is_left_out() -> None:
    plain, rounded = decoder(), decoder()
    use_float8_(rounded, emulated=True)
    assert rounded.state_dict().keys() == plain.state_dict().keys()
    assert all(torch.equal(value, rounded.state_dict()[name]) for name, value in plain.state_dict().items())
    assert fused_rows(rounded) == fused_rows(plain)
    assert type(rounded.head) is nn.Linear


def test_it_trains_by_muon() -> None:
    model = decoder()
    use_float8_(model, emulated=True)
    config = TrainConfig(optimizer={"type": "muon"}, learning_rate=1e-2)  # pyright: ignore[reportArgumentType]
    optimizer = build_optimizer(model, config)
    losses = []
    for _ in range(20):
        loss = model(IDS, IDS).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.7 * losses[0]


def test_a_width_without_whole_tiles_and_other_families_are_taken_too() -> None:
    config = T5Config(vocab_size=96, n_positions=48, n_embd=64, n_layer=1, n_head=4, n_inner=100)
    model = build(config, seed=0)
    taken = use_float8_(model, emulated=True)
    layers = [part for part in model.modules() if isinstance(part, nn.Linear) and part.out_features % 16 == 0]
    assert 0 < taken < len([part for part in model.modules() if isinstance(part, nn.Linear)])
    assert taken <= len(layers)
    model(input_ids=IDS, labels=IDS).loss.backward()
