"""Norms, rotations, attention and feed-forward, each against its plain formula."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from towpath.model.attention import attend
from towpath.model.feed_forward import SwiGLU
from towpath.model.norms import rms_norm
from towpath.model.positions.added import LearnedPositions
from towpath.model.positions.rotations import RotaryPositions
from towpath.model.rotary import frequencies, rotate, rotation_tables
from towpath.model.sight import Sight

pytestmark = pytest.mark.usefixtures("checked_annotations")


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_rms_norm_and_its_gradients_equal_torch_s_own() -> None:
    x, weight = normal(3, 5, 2, 8).requires_grad_(), normal(8, seed=1).requires_grad_()
    upstream = normal(3, 5, 2, 8, seed=2)
    ours, torchs = rms_norm(x, weight, 1e-6), F.rms_norm(x, (8,), weight, 1e-6)
    torch.testing.assert_close(ours, torchs)
    expected = torch.autograd.grad(torchs, (x, weight), upstream)
    torch.testing.assert_close(torch.autograd.grad(ours, (x, weight), upstream), expected)


def test_rms_norm_can_be_differentiated_twice() -> None:
    x, weight = normal(4, 6).requires_grad_(), normal(6, seed=1).requires_grad_()
    assert torch.autograd.gradgradcheck(lambda x, w: rms_norm(x, w, 1e-3), (x, weight))


def test_rms_norm_of_zeros_is_zeros() -> None:
    x = torch.zeros(2, 4, requires_grad=True)
    y = rms_norm(x, torch.ones(4), 1e-6)
    y.sum().backward()
    assert not y.any()
    assert x.grad is not None
    assert torch.isfinite(x.grad).all()


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 400), st.integers(0, 99), st.integers(0, 99))
def test_scores_of_rotated_vectors_depend_on_their_distance_alone(shift: int, i: int, j: int) -> None:
    tables = rotation_tables(500, frequencies(10_000.0, 16))

    def at(x: Tensor, position: int) -> Tensor:
        rotation = type(tables)(*(table[position : position + 1] for table in tables))
        return rotate(x.view(1, 1, 1, 16), rotation)

    q, k = normal(16).float(), normal(16, seed=1).float()
    here, there = (at(q, i + s) * at(k, j + s) for s in (0, shift))
    torch.testing.assert_close(here.sum(), there.sum(), rtol=1e-3, atol=1e-3)  # fp32 angles up to 500


def test_rotation_is_the_formula_and_keeps_lengths() -> None:
    x = normal(2, 7, 3, 8).float()
    rotated = rotate(x, rotation_tables(7, frequencies(100.0, 8)))
    torch.testing.assert_close(rotated.norm(dim=-1), x.norm(dim=-1))
    pairs = torch.complex(x[..., :4], x[..., 4:])  # (2, 7, 3, 4)
    angles = torch.arange(7.0)[:, None] * 100.0 ** (-torch.arange(4.0) / 4)  # (7, 4)
    turned = pairs * torch.polar(torch.ones(7, 4), angles)[:, None]
    torch.testing.assert_close(rotated, torch.cat((turned.real, turned.imag), dim=-1))


def test_rotary_positions_continue_where_they_are_told_to() -> None:
    positions = RotaryPositions(10, 4, 100.0)
    positions.fill_()
    assert torch.equal(positions.rotation(3, 4).cosine, positions.rotation(0, 10).cosine[3:7])
    assert not positions.state_dict()


def test_learned_positions_add_the_vector_of_each_position() -> None:
    positions = LearnedPositions(10, 4)
    torch.nn.init.normal_(positions.weight)
    assert torch.equal(positions.add(torch.zeros(2, 3, 4), 5)[1], positions.weight[5:8])


@pytest.mark.parametrize("n_kv_head", [1, 2, 4])
@pytest.mark.parametrize("n_tokens", [1, 5])
def test_attention_is_the_softmax_formula_with_each_key_head_shared(n_kv_head: int, n_tokens: int) -> None:
    q, k, v = (
        normal(2, heads, n_tokens, 6, seed=seed).float()
        for seed, heads in enumerate((4, n_kv_head, n_kv_head))
    )
    keys, values = (x.repeat_interleave(4 // n_kv_head, dim=1) for x in (k, v))
    scores = q @ keys.mT / 6**0.5
    future = torch.ones(n_tokens, n_tokens, dtype=torch.bool).triu(1)
    expected = scores.masked_fill(future, -torch.inf).softmax(-1) @ values
    torch.testing.assert_close(attend(q, k, v, Sight(), 0.0), expected)


def test_swiglu_is_its_formula() -> None:
    layer, x = SwiGLU(6, 10), normal(2, 3, 6).float()
    gate, up = layer.gate_up.weight.split(10)
    expected = (F.silu(x @ gate.T) * (x @ up.T)) @ layer.out.weight.T
    torch.testing.assert_close(layer(x), expected)
