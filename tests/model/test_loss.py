from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from towpath.core.errors import ModelError
from towpath.model.loss import chunked_cross_entropy

pytestmark = pytest.mark.usefixtures("checked_annotations")

Inputs = tuple[Tensor, Tensor, Tensor]


def inputs(dtype: torch.dtype = torch.float32, ignored: bool = True) -> Inputs:
    """hidden (13, 6), weight (17, 6), labels (13,)."""
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(13, 6, generator=generator, dtype=torch.float64)
    weight = torch.randn(17, 6, generator=generator, dtype=torch.float64)
    labels = torch.randint(0, 17, (13,), generator=generator)
    if ignored:
        labels[[0, 4, 5, 12]] = -100
    return hidden.to(dtype).requires_grad_(), weight.to(dtype).requires_grad_(), labels


def gradients(loss: Tensor, hidden: Tensor, weight: Tensor) -> tuple[Tensor, ...]:
    return torch.autograd.grad(loss, (hidden, weight))


@pytest.mark.parametrize("chunk_tokens", [1, 4, 9, 100, None])
@pytest.mark.parametrize("ignored", [True, False])
def test_chunked_loss_and_gradients_equal_the_plain_ones(chunk_tokens: int | None, ignored: bool) -> None:
    hidden, weight, labels = inputs(ignored=ignored)
    plain = F.cross_entropy(hidden @ weight.T, labels)
    chunked = chunked_cross_entropy(hidden, weight, labels, chunk_tokens=chunk_tokens)
    torch.testing.assert_close(chunked, plain)
    torch.testing.assert_close(gradients(chunked, hidden, weight), gradients(plain, hidden, weight))


def test_gradients_agree_with_finite_differences() -> None:
    hidden, weight, labels = inputs(torch.float64)

    def loss(hidden: Tensor, weight: Tensor) -> Tensor:
        return chunked_cross_entropy(hidden, weight, labels, loss_tokens=5, chunk_tokens=4)

    assert torch.autograd.gradcheck(loss, (hidden, weight))


def test_gradients_are_scaled_by_what_comes_from_above() -> None:
    hidden, weight, labels = inputs()
    loss = chunked_cross_entropy(hidden, weight, labels)
    once = gradients(loss, hidden, weight)
    thrice = gradients(3 * chunked_cross_entropy(hidden, weight, labels), hidden, weight)
    torch.testing.assert_close(thrice, tuple(3 * grad for grad in once))


def test_a_second_backward_pass_gives_the_same_gradients() -> None:
    hidden, weight, labels = inputs()
    loss = 2 * chunked_cross_entropy(hidden, weight, labels)
    first = torch.autograd.grad(loss, (hidden, weight), retain_graph=True)
    assert all(map(torch.equal, first, gradients(loss, hidden, weight)))


@pytest.mark.parametrize("loss_tokens", [4, 4.0, torch.tensor(4)])
def test_the_sum_is_divided_by_loss_tokens(loss_tokens: float | Tensor) -> None:
    hidden, weight, labels = inputs()
    expected = F.cross_entropy(hidden @ weight.T, labels, reduction="sum") / 4
    loss = chunked_cross_entropy(hidden, weight, labels, loss_tokens=loss_tokens)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(gradients(loss, hidden, weight), gradients(expected, hidden, weight))


def test_without_gradients_none_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    hidden, weight, labels = inputs()
    expected = chunked_cross_entropy(hidden, weight, labels).detach()
    monkeypatch.setattr("towpath.model.loss._add_product_", lambda *args: pytest.fail("made a gradient"))
    with torch.no_grad():
        loss = chunked_cross_entropy(hidden, weight, labels)
    assert not loss.requires_grad
    assert torch.equal(loss, expected)


def test_a_frozen_head_gets_no_gradient_and_the_trunk_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    hidden, weight, labels = inputs()
    (expected,) = torch.autograd.grad(chunked_cross_entropy(hidden, weight, labels), hidden)
    monkeypatch.setattr("towpath.model.loss._add_product_", lambda *args: pytest.fail("made a gradient"))
    (grad,) = torch.autograd.grad(chunked_cross_entropy(hidden, weight.detach(), labels), hidden)
    assert torch.equal(grad, expected)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_gives_an_fp32_loss_and_gradients_in_its_own_type(dtype: torch.dtype) -> None:
    hidden, weight, labels = inputs(dtype)
    exact_hidden, exact_weight = (x.detach().float().requires_grad_() for x in (hidden, weight))
    exact = F.cross_entropy(exact_hidden @ exact_weight.T, labels)
    loss = chunked_cross_entropy(hidden, weight, labels, chunk_tokens=4)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, exact, rtol=1e-2, atol=1e-2)
    expected = gradients(exact, exact_hidden, exact_weight)
    for grad, wanted in zip(gradients(loss, hidden, weight), expected, strict=True):
        assert grad.dtype == dtype
        torch.testing.assert_close(grad.float(), wanted, rtol=2e-2, atol=5e-3)


def test_small_fp16_gradients_survive_a_large_step_under_loss_scaling() -> None:
    hidden, weight, labels = inputs(torch.float16)
    loss = chunked_cross_entropy(hidden, weight, labels, loss_tokens=10**6)
    small = gradients(loss * 2.0**16, hidden, weight)
    loss = chunked_cross_entropy(hidden, weight, labels, loss_tokens=10**6 / 2.0**16)
    for grad, wanted in zip(small, gradients(loss, hidden, weight), strict=True):
        torch.testing.assert_close(grad, wanted, rtol=2e-3, atol=0)


def test_very_sure_and_very_wrong_logits_stay_finite() -> None:
    hidden = torch.tensor([[200.0], [200.0]], requires_grad=True)
    weight = torch.tensor([[1.0], [-1.0]], requires_grad=True)
    loss = chunked_cross_entropy(hidden, weight, torch.tensor([0, 1]))
    assert loss.item() == pytest.approx(200.0)  # (0 + 400) / 2
    assert all(torch.isfinite(grad).all() for grad in gradients(loss, hidden, weight))


@pytest.mark.parametrize("wrong", [17, -1])
def test_a_label_beyond_the_vocabulary_is_named(wrong: int) -> None:
    hidden, weight, labels = inputs()
    labels[3] = wrong
    with pytest.raises(ModelError, match=f"Label {wrong} is outside the model's vocabulary of 17"):
        chunked_cross_entropy(hidden, weight, labels)


def test_full_logits_are_never_held() -> None:
    hidden, weight = torch.randn(512, 4, requires_grad=True), torch.randn(3000, 4, requires_grad=True)
    largest = 0

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            nonlocal largest
            made = func(*args, **(kwargs or {}))
            largest = max(largest, made.numel() if isinstance(made, Tensor) else 0)
            return made

    with Watch():
        chunked_cross_entropy(hidden, weight, torch.zeros(512, dtype=torch.long), chunk_tokens=32).backward()
    assert largest <= 32 * 3000
