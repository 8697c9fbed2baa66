"""int8 products: their numbers against plain quantise and dequantise, and training beside fp32."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.train.conftest import model, stage, train_config, weights
from towpath.core.errors import TrainError
from towpath.core.metrics import read_log
from towpath.model.int8 import LARGEST, int8_linear, product, use_int8_
from towpath.model.kernels import int8 as kernel
from towpath.model.loss import chunked_cross_entropy
from towpath.train.precision import choose_precision
from towpath.train.stage import run_stage


def rounded(x: Tensor, dim: int) -> Tensor:
    """Quantised and brought back, in fp64."""
    largest = kernel.LARGEST if kernel.can_run(x, x) else LARGEST
    scales = x.double().abs().amax(dim, keepdim=True) / largest
    return (x.double() / scales).round() * scales


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_a_product_is_that_of_the_rounded_factors() -> None:
    left, right = draw(24, 40), draw(40, 16, seed=1) * torch.logspace(-3, 3, 16)
    expected = rounded(left, 1) @ rounded(right, 0)
    torch.testing.assert_close(product(left, right).double(), expected, rtol=1e-5, atol=1e-5)


def test_all_three_products_of_a_layer_are_int8() -> None:
    x, weight, grad = (
        draw(24, 40).requires_grad_(),
        draw(16, 40, seed=1).requires_grad_(),
        draw(24, 16, seed=2),
    )
    out = int8_linear(x, weight)
    out.backward(grad)
    close = {"rtol": 1e-5, "atol": 1e-5}
    torch.testing.assert_close(out.double(), rounded(x.detach(), 1) @ rounded(weight.detach(), 1).T, **close)
    assert x.grad is not None
    assert weight.grad is not None
    torch.testing.assert_close(x.grad.double(), rounded(grad, 1) @ rounded(weight.detach(), 0), **close)
    torch.testing.assert_close(weight.grad.double(), rounded(grad, 0).T @ rounded(x.detach(), 0), **close)


def test_a_row_of_zeros_stays_zero() -> None:
    assert torch.equal(product(torch.zeros(2, 8), draw(8, 3)), torch.zeros(2, 3))


def test_layers_compute_in_int8_in_training_alone() -> None:
    decoder, plain = model("modern"), model("modern")
    assert use_int8_(decoder) == 2 * 4  # 2 blocks of qkv, out, gate_up, out
    ids = torch.arange(8).unsqueeze(0)
    assert not torch.equal(decoder(ids).logits, plain(ids).logits)
    assert torch.equal(decoder.eval()(ids).logits, plain.eval()(ids).logits)


def test_a_loss_of_int8_logits_has_their_gradients() -> None:
    hidden, weight = draw(24, 40).requires_grad_(), draw(50, 40, seed=1).requires_grad_()
    labels = torch.arange(24)
    loss = chunked_cross_entropy(hidden, weight, labels, chunk_tokens=10, product=product)
    loss.backward()
    h, w = hidden.detach().double(), weight.detach().double()
    logits = (rounded(hidden.detach(), 1) @ rounded(weight.detach(), 1).T).requires_grad_()
    expected = F.cross_entropy(logits, labels)
    expected.backward()
    torch.testing.assert_close(loss.double(), expected, rtol=1e-5, atol=1e-5)
    assert hidden.grad is not None
    assert weight.grad is not None
    assert logits.grad is not None
    for found, other in ((hidden.grad, logits.grad @ w), (weight.grad, logits.grad.T @ h)):
        torch.testing.assert_close(found.double(), other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", ["modern", "t5", "moe"])
def test_the_logits_of_a_loss_are_int8_in_training_alone(kind: str) -> None:
    decoder, asked = model(kind), []
    use_int8_(decoder)
    assert decoder.head_product is not None

    def counted(*factors: Tensor, out: Tensor) -> Tensor:
        asked.append(len(factors))
        return product(*factors, out=out)

    decoder.head_product = counted
    ids = torch.arange(8).unsqueeze(0)
    decoder(ids, ids)
    assert asked == [2]
    decoder.eval()(ids, ids)
    assert asked == [2]


@pytest.mark.parametrize("checkpointing", [False, True])
def test_training_in_int8_follows_fp32(tmp_path: Path, checkpointing: bool) -> None:
    losses = {}
    for precision in ("fp32", "int8"):
        settings = {
            "max_steps": 40,
            "warmup_steps": 4,
            "save_steps": 40,
            "gradient_checkpointing": checkpointing,
        }
        folder = tmp_path / precision
        run_stage(stage(folder, train_config(precision=precision, **settings)), model(dropout=0.0))
        losses[precision] = [
            row["value"] for row in read_log(folder / "log.jsonl") if row["name"] == "train/loss"
        ]
    assert losses["int8"] != losses["fp32"]
    assert losses["int8"][-1] == pytest.approx(losses["fp32"][-1], rel=5e-3)
    assert losses["int8"][-1] < losses["int8"][0] - 0.5


def test_a_slow_int8_is_said_with_both_speeds(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("towpath.model.int8.speeds", lambda device: (2.5, 75.0))
    assert choose_precision(train_config(precision="int8")).name == "int8"
    assert "int8 products are 30 times slower than fp32 here (2.5 against 75" in capsys.readouterr().err
    monkeypatch.setattr("towpath.model.int8.speeds", lambda device: (300.0, 75.0))
    choose_precision(train_config(precision="int8"))
    assert capsys.readouterr().err == ""


def test_fp8_is_refused_where_the_device_has_none() -> None:
    if torch.cuda.is_available() and torch.cuda.get_device_capability() >= (8, 9):
        pytest.skip("this device has fp8")
    with pytest.raises(TrainError, match='precision = "fp8" needs a GPU of compute capability 8.9'):
        choose_precision(train_config(precision="fp8"))


def test_a_resumed_int8_run_ends_with_the_same_weights(tmp_path: Path) -> None:
    whole = model()
    config = train_config(precision="int8", max_steps=6, save_steps=3)
    run_stage(stage(tmp_path / "whole", config), whole)
    run_stage(stage(tmp_path / "cut", config), model())
    (last,) = (tmp_path / "cut" / "checkpoints").glob("step-000006")
    last.rename(tmp_path / "later")
    again = model()
    run_stage(stage(tmp_path / "cut", config), again)
    for name, value in weights(whole).items():
        assert torch.equal(value, weights(again)[name]), name
