"""The GELU that is computed again: torch's numbers, and no activation kept."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from towpath.core.native import library
from towpath.model.feed_forward import FeedForward
from towpath.model.kernels import gelu as kernel


@pytest.fixture(params=["compiled", "torch"], autouse=True)
def _way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    if request.param == "torch":
        monkeypatch.setattr(kernel, "library", lambda package, name: None)
    elif library("towpath.model.kernels", "gelu") is None:
        pytest.skip("not compiled")
    yield
    torch.set_num_threads(before)


def inputs() -> Tensor:
    wide = torch.linspace(-40, 40, 4001)
    return torch.cat([wide, torch.randn(999, generator=torch.Generator().manual_seed(0))]).view(50, 100)


def test_value_and_gradient_are_exact_to_the_last_digits_of_fp32() -> None:
    x = inputs()
    exact = x.double().requires_grad_()
    F.gelu(exact).sum().backward()
    again, slope = kernel.gelu_again_(x, torch.ones_like(x))
    assert torch.equal(again, kernel.gelu(x))
    torch.testing.assert_close(again.double(), F.gelu(x.double()), rtol=3e-7, atol=5e-7)
    torch.testing.assert_close(slope.double(), exact.grad, rtol=3e-7, atol=5e-7)


@pytest.mark.parametrize("bias", [True, False])
def test_a_layer_after_it_learns_as_with_torchs_own(bias: bool) -> None:
    torch.manual_seed(0)
    layer, x = nn.Linear(100, 30, bias=bias), inputs()[41:].reshape(3, 3, 100)
    found: list[list[Tensor]] = []
    for way in (kernel.gelu_linear, lambda x, layer: layer(F.gelu(x))):
        leaf = x.clone().requires_grad_()
        layer.zero_grad()
        out = way(leaf, layer)
        out.square().sum().backward()
        found.append([out, *(value.grad for value in (leaf, *layer.parameters()) if value.grad is not None)])
    assert len(found[0]) == 3 + bias
    for own, torchs in zip(*found, strict=True):
        torch.testing.assert_close(own, torchs, rtol=1e-5, atol=1e-5)


def test_not_a_number_stays_one() -> None:
    assert kernel.gelu(torch.tensor([float("nan"), 1.0])).isnan().tolist() == [True, False]


def test_the_feed_forward_keeps_its_activation_no_longer() -> None:
    kept: list[tuple[int, ...]] = []

    def keep(value: Tensor) -> Tensor:
        kept.append(tuple(value.shape))
        return value

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda value: value):
        FeedForward(8, 32, "gelu")(torch.randn(2, 5, 8, requires_grad=True))
    assert sum(shape[-1] == 32 and shape[0] != 8 for shape in kept) == 1  # what goes into the GELU
