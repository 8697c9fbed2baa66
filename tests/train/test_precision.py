"""Clipping, loss scaling of fp16, and activations that wait in the host's memory."""

from __future__ import annotations

import pytest
import torch

from tests.train.conftest import batches, model, train_config
from towpath.model.language_model import LanguageModel
from towpath.train.loop import accumulate
from towpath.train.optimizer import build_optimizer
from towpath.train.parallel.norms import clip_
from towpath.train.parallel.strategy import Strategy
from towpath.train.precision import LossScaler, Precision, choose_precision

CPU = torch.device("cpu")


class Alone:
    """A group of one process."""

    device = CPU

    def sum_(self, value: torch.Tensor) -> torch.Tensor:
        return value


def gradients(decoder: LanguageModel) -> torch.Tensor:
    """All in one vector."""
    return torch.cat([value.grad.flatten() for value in decoder.parameters() if value.grad is not None])


def learned(strategy: Strategy) -> LanguageModel:
    """A model with the gradients of one step, the strategy prepared for it."""
    decoder = model(dropout=0.0)
    strategy.prepare(decoder)
    accumulate(decoder, batches(strategy.config).batch(1), strategy)
    return decoder


@pytest.mark.parametrize("by", ["strategy", "parts"])
@pytest.mark.parametrize("share", [0.25, 4.0])
def test_a_longer_gradient_is_cut_to_the_longest_and_a_shorter_one_left(by: str, share: float) -> None:
    decoder = learned(Strategy(train_config(), choose_precision(train_config())))
    before = gradients(decoder)
    longest = share * float(before.norm())
    if by == "strategy":
        strategy = Strategy(train_config(max_grad_norm=longest), choose_precision(train_config()))
        strategy.prepare(decoder)
        told = strategy.clip(strategy.optimizer)
    else:
        told = clip_(decoder.parameters(), longest, Alone())  # pyright: ignore[reportArgumentType]
    assert told == pytest.approx(float(before.norm()), rel=1e-5)
    torch.testing.assert_close(gradients(decoder), before * min(share, 1), rtol=1e-4, atol=1e-9)


def in_fp16(**changes: object) -> Strategy:
    return Strategy(train_config(**changes), Precision(CPU, "fp16", LossScaler("cpu")))


def test_a_step_in_fp16_is_scaled_unscaled_and_like_one_in_fp32() -> None:
    strategy = in_fp16(max_grad_norm=1e9)
    half = learned(strategy)
    scaled = gradients(half)
    told = strategy.clip(strategy.optimizer)
    whole = gradients(learned(Strategy(train_config(), choose_precision(train_config()))))
    torch.testing.assert_close(scaled / 2.0**16, gradients(half), rtol=1e-6, atol=0)
    assert told == pytest.approx(float(whole.norm()), rel=0.01)
    assert float((gradients(half) - whole).norm()) < 0.02 * float(whole.norm())


def test_an_overflow_changes_no_weight_and_the_second_halves_the_scale() -> None:
    strategy = in_fp16()
    decoder = learned(strategy)
    start = {name: value.clone() for name, value in decoder.state_dict().items()}
    scales = []
    for _ in range(3):
        strategy.optimizer.zero_grad()
        accumulate(decoder, batches(strategy.config).batch(1), strategy)
        gradient = next(decoder.parameters()).grad
        assert gradient is not None
        gradient.view(-1)[0] = float("inf")
        strategy.clip(strategy.optimizer)
        strategy.update(strategy.optimizer, applies=True)
        assert strategy.precision.scaler is not None
        scales.append(strategy.precision.scaler.get_scale())
    assert all(torch.equal(value, start[name]) for name, value in decoder.state_dict().items())
    assert scales == [2.0**16, 2.0**15, 2.0**14]


def test_the_scale_doubles_after_a_window_of_good_steps_and_never_falls_below_one() -> None:
    scaler, weight = LossScaler("cpu"), torch.nn.Parameter(torch.ones(1))
    optimizer = torch.optim.SGD([weight], lr=0.0)

    def step(gradient: float) -> float:
        weight.grad = torch.full((1,), gradient)
        scaler.scale(torch.ones(1))
        scaler.unscale_(optimizer)
        scaler.update()
        return scaler.get_scale()

    assert [step(float("inf")) for _ in range(2)] == [2.0**16, 2.0**15]
    assert {step(1.0) for _ in range(1000)} == {2.0**15}
    assert step(1.0) == 2.0**16, "DeepSpeed counts 1,000 steps after the first good one"
    assert step(float("inf")) == 2.0**16, "the window fills the hysteresis"
    assert [step(float("inf")) for _ in range(30)][-1] == 1.0


def test_activations_that_wait_in_the_hosts_memory_change_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = gradients(learned(Strategy(train_config(), choose_precision(train_config()))))
    moved = []
    pack = torch.autograd.graph.save_on_cpu

    class Counted(pack):
        def __init__(self, pin_memory: bool = False) -> None:
            super().__init__(pin_memory)
            counted = self.pack_hook
            self.pack_hook = lambda tensor: (moved.append(tensor.numel()), counted(tensor))[1]

    monkeypatch.setattr(torch.autograd.graph, "save_on_cpu", Counted)
    config = train_config(activation_offload=True)
    assert torch.equal(gradients(learned(Strategy(config, choose_precision(config)))), kept)
    assert sum(moved) > 10_000


def test_settings_of_adamw_reach_it() -> None:
    config = train_config(learning_rate=1e-4, beta1=0.8, beta2=0.9, epsilon=1e-6, weight_decay=0.3)
    for group in build_optimizer(model(), config).parts["adamw"].param_groups:
        assert (group["lr"], group["betas"], group["eps"]) == (1e-4, (0.8, 0.9), 1e-6)
        assert group["weight_decay"] in (0.0, 0.3)
