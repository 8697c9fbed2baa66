"""Adafactor, 8-bit AdamW and Muon's choices against references."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.train.conftest import assert_same, model, train_config
from towpath.train.optimizer import Optimizers, build_optimizer
from towpath.train.optimizers.blockwise import AdamW8bit, dequantize, dynamic_map, quantize
from towpath.train.optimizers.newton_schulz import Muon, orthogonalize


def spread(seed: int, shape: tuple[int, int], least: float) -> Tensor:
    """A matrix with singular values from 1 down to ``least``."""
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    left, _, right = torch.linalg.svd(noise, full_matrices=False)
    return left @ torch.diag(torch.logspace(0, torch.tensor(least).log10().item(), min(shape))) @ right


def trained(optimizer: torch.optim.Optimizer, weight: torch.nn.Parameter, steps: int = 6) -> Tensor:
    draw = torch.Generator().manual_seed(3)
    for _ in range(steps):
        weight.grad = torch.randn(weight.shape, generator=draw)
        optimizer.step()
    return weight.detach()


def parameter(*shape: int) -> torch.nn.Parameter:
    return torch.nn.Parameter(torch.randn(shape, generator=torch.Generator().manual_seed(1)))


def test_polar_express_is_nearer_to_orthogonal_after_as_many_iterations() -> None:
    matrix = spread(0, (96, 48), 1e-3)
    far = {
        polynomial: float((torch.linalg.svdvals(orthogonalize(matrix, 6, polynomial)) - 1).abs().max())
        for polynomial in ("jordan", "polar_express")
    }
    assert far["polar_express"] < far["jordan"]
    exact = orthogonalize(spread(0, (96, 48), 1e-2), 9, "polar_express")
    torch.testing.assert_close(exact.T @ exact, torch.eye(48), rtol=0, atol=1e-3)


def test_moonshots_scale_makes_updates_of_one_size_for_every_shape() -> None:
    sizes = []
    for shape in ((64, 32), (32, 64), (48, 48)):
        weight = torch.nn.Parameter(torch.zeros(shape))
        optimizer = Muon([weight], lr=1.0, iterations=9, polynomial="polar_express", scale="moonshot")
        weight.grad = spread(1, shape, 0.1)
        optimizer.step()
        sizes.append(float(weight.detach().square().mean().sqrt()))
    assert sizes == pytest.approx([0.2, 0.2, 0.2], rel=0.01)


def test_adafactor_is_transformers_reference() -> None:
    """With one step size: torch's relative step is min(lr, 1 / sqrt(t)), so the lr is below it throughout."""
    from transformers.optimization import Adafactor

    for shape in ((24, 16), (24,)):
        own, theirs = parameter(*shape), parameter(*shape)
        config = train_config(learning_rate=1e-2, weight_decay=0.0, optimizer={"type": "adafactor"})
        made = config.optimizer.build(torch.nn.Module(), {"weight": own}, config)["adafactor"]
        reference = Adafactor([theirs], lr=1e-2, relative_step=False, scale_parameter=True, warmup_init=False)
        torch.testing.assert_close(trained(made, own), trained(reference, theirs), rtol=1e-4, atol=1e-6)


def test_adafactors_state_is_rows_and_columns() -> None:
    optimizer = build_optimizer(model(), train_config(optimizer={"type": "adafactor"}))
    for weight in optimizer.names:
        weight.grad = torch.ones_like(weight)
    optimizer.step()
    state = {name: value for name, value in optimizer.tensors().items() if name.endswith("tokens.weight")}
    assert sum(value.numel() for value in state.values()) == 64 + 32 + 1


def test_the_map_of_codes_is_torchaos() -> None:
    quant = pytest.importorskip("torchao.optim.quant_utils")
    for signed, theirs in ((True, quant.create_dynamic_map(True)), (False, quant.create_dynamic_map(False))):
        torch.testing.assert_close(dynamic_map(signed=signed), torch.tensor(theirs), rtol=1e-6, atol=0)


def test_a_moment_is_stored_as_the_nearest_value_of_the_map() -> None:
    moments = torch.randn(1024, generator=torch.Generator().manual_seed(0))
    codes, scales = quantize(moments, 256, signed=True)
    shares = moments.view(4, 256) / scales.unsqueeze(1)
    nearest = (shares.unsqueeze(2) - dynamic_map(signed=True)).abs().argmin(2).view(-1)
    assert torch.equal(codes.long(), nearest)
    assert torch.equal(quantize(dequantize(codes, scales, signed=True), 256, signed=True)[0], codes)


def test_small_tensors_are_plain_adamw() -> None:
    own, theirs = parameter(40, 50), parameter(40, 50)
    settings = {"lr": 1e-2, "betas": (0.9, 0.95), "weight_decay": 0.1}
    left = trained(AdamW8bit([own], **settings), own)
    torch.testing.assert_close(left, trained(torch.optim.AdamW([theirs], **settings), theirs))


def test_8_bit_adamw_stays_near_adamw() -> None:
    own, theirs = parameter(64, 128), parameter(64, 128)
    settings = {"lr": 1e-2, "betas": (0.9, 0.95), "weight_decay": 0.1}
    left = trained(AdamW8bit([own], **settings), own)
    right = trained(torch.optim.AdamW([theirs], **settings), theirs)
    moved = (right - parameter(64, 128).detach()).norm()
    assert float((left - right).norm() / moved) < 0.1


@pytest.mark.parametrize("kind", ["adafactor", "adamw8bit"])
def test_state_that_was_saved_and_taken_back_goes_on_the_same(kind: str) -> None:
    config = train_config(optimizer={"type": kind})
    whole, cut = torch.nn.Linear(128, 64), torch.nn.Linear(128, 64)
    cut.load_state_dict(whole.state_dict())
    draw = [torch.randn(64, 128, generator=torch.Generator().manual_seed(step)) for step in range(6)]

    def learn(layer: torch.nn.Linear, optimizer: Optimizers, gradients: list[Tensor]) -> None:
        for gradient in gradients:
            layer.weight.grad = gradient.clone()
            layer.bias.grad = gradient[:, 0].clone()
            optimizer.step()

    learn(whole, build_optimizer(whole, config), draw)
    first, second = build_optimizer(cut, config), build_optimizer(cut, config)
    learn(cut, first, draw[:3])
    second.load_tensors({name: value.clone() for name, value in first.tensors().items()})
    learn(cut, second, draw[3:])
    assert_same(dict(whole.state_dict()), dict(cut.state_dict()))
