"""Optimizers and schedules: who is updated how, and how fast."""

from __future__ import annotations

import itertools

import pytest
import torch
from pydantic import ValidationError

from tests.train.conftest import model, train_config
from towpath.core.errors import TrainError
from towpath.train.config import TrainConfig
from towpath.train.optimizer import build_optimizer
from towpath.train.optimizers.muon import hidden_matrices
from towpath.train.optimizers.newton_schulz import Muon, orthogonalize
from towpath.train.schedule import Scheduler, factor

SPECIFICATION = {
    "learning_rate": 6e-4,
    "weight_decay": 0.1,
    "beta1": 0.9,
    "beta2": 0.95,
    "epsilon": 1e-8,
    "batch_size": 4,
    "gradient_accumulation_steps": 32,
    "max_steps": 100000,
    "warmup_steps": 2000,
    "save_steps": 1000,
    "eval_steps": 500,
    "fp16": True,
    "gradient_checkpointing": True,
    "dataloader_num_workers": 4,
}


def test_the_specifications_training_config_is_valid_as_it_stands() -> None:
    assert TrainConfig.model_validate(SPECIFICATION).fp16


@pytest.mark.parametrize("shape", [(64, 64), (96, 32), (32, 96)])
def test_orthogonalized_matrices_have_singular_values_near_one(shape: tuple[int, int]) -> None:
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    left, _, right = torch.linalg.svd(noise, full_matrices=False)
    matrix = left @ torch.diag(torch.linspace(1, 0.01, min(shape))) @ right
    values = torch.linalg.svdvals(orthogonalize(matrix))
    assert float(values.min()) > 0.6
    assert float(values.max()) < 1.3


def test_parts_of_a_fused_matrix_are_made_orthogonal_one_by_one() -> None:
    generator = torch.Generator().manual_seed(0)
    whole = torch.nn.Parameter(torch.randn(48, 16, generator=generator))
    parts = [torch.nn.Parameter(part.clone()) for part in whole.detach().split((32, 8, 8))]
    whole.grad = torch.randn(48, 16, generator=generator)
    for part, gradient in zip(parts, whole.grad.split((32, 8, 8)), strict=True):
        part.grad = gradient.clone()
    Muon([{"params": [whole], "row_parts": (32, 8, 8)}], lr=0.1).step()
    Muon(parts, lr=0.1).step()
    torch.testing.assert_close(
        whole.detach(), torch.cat([part.detach() for part in parts]), rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("kind", ["gpt2", "modern"])
def test_muon_takes_the_matrices_of_the_blocks_and_adamw_the_rest(kind: str) -> None:
    decoder = model(kind)
    optimizer = build_optimizer(decoder, train_config(optimizer={"type": "muon"}))
    taken = {optimizer.names[p] for group in optimizer.parts["muon"].param_groups for p in group["params"]}
    left = {optimizer.names[p] for group in optimizer.parts["adamw"].param_groups for p in group["params"]}
    assert taken == {name for name, _ in hidden_matrices(decoder)}
    assert all(name.startswith("blocks.") for name in taken)
    assert taken | left == {name for name, _ in decoder.named_parameters()}
    assert "tokens.weight" in left


def test_decay_is_on_matrices_only() -> None:
    optimizer = build_optimizer(model(), train_config())
    for group in optimizer.parts["adamw"].param_groups:
        dimensions = {parameter.ndim >= 2 for parameter in group["params"]}
        assert dimensions == {group["weight_decay"] > 0}


def test_optimizer_state_of_another_model_is_refused() -> None:
    optimizer = build_optimizer(model(), train_config())
    with pytest.raises(TrainError, match="'adamw/exp_avg/nowhere' fits no parameter"):
        optimizer.load_tensors({"adamw/exp_avg/nowhere": torch.zeros(1)})


@pytest.mark.parametrize("schedule", ["cosine", "linear", "wsd", "constant"])
def test_warmup_rises_to_the_peak_and_nothing_exceeds_it(schedule: str) -> None:
    config = train_config(max_steps=100, warmup_steps=10, schedule={"type": schedule})
    shares = [factor(step, config) for step in range(1, 101)]
    assert shares[0] == pytest.approx(0.1)
    assert shares[9] == 1.0
    assert max(shares) == 1.0
    assert all(later <= earlier + 1e-12 for earlier, later in itertools.pairwise(shares[9:]))


def test_each_schedule_ends_where_it_says() -> None:
    ends = {"cosine": 0.1, "linear": 0.0, "wsd": 0.0, "constant": 1.0}
    for schedule, end in ends.items():
        config = train_config(max_steps=100, warmup_steps=10, schedule={"type": schedule})
        assert factor(100, config) == pytest.approx(end, abs=1e-9)


def test_warmup_stable_decay_is_flat_until_the_decay() -> None:
    config = train_config(max_steps=100, warmup_steps=10, schedule={"type": "wsd", "decay_ratio": 0.2})
    assert {factor(step, config) for step in range(10, 81)} == {1.0}
    assert factor(90, config) == pytest.approx(0.5)


def test_a_decay_of_the_whole_run_begins_at_the_peak() -> None:
    config = train_config(max_steps=100, warmup_steps=20, schedule={"type": "wsd", "decay_ratio": 1.0})
    assert [factor(step, config) for step in (20, 60, 100)] == pytest.approx([1.0, 0.5, 0.0])


def test_the_scheduler_keeps_the_ratio_of_the_groups() -> None:
    config = train_config(optimizer={"type": "muon", "learning_rate": 0.02}, warmup_steps=4)
    optimizer = build_optimizer(model(), config)
    scheduler = Scheduler(optimizer, config)
    assert scheduler.get_last_lr()[0] == pytest.approx(0.02 / 4)
    scheduler.step()
    assert scheduler.get_last_lr()[0] == pytest.approx(0.02 / 2)
    assert scheduler.get_last_lr()[-1] == pytest.approx(config.learning_rate / 2)
    assert Scheduler(optimizer, config, steps_done=1).get_last_lr() == scheduler.get_last_lr()


def test_warmup_longer_than_the_run_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"warmup_steps = 50 leaves no step .* Try warmup_steps = 2"):
        train_config(max_steps=20, warmup_steps=50)


@pytest.mark.parametrize("shape", [(96, 32), (32, 96)])
def test_muon_is_its_formula(shape: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(0)
    weight = torch.nn.Parameter(torch.zeros(shape))
    optimizer = Muon([weight], lr=0.1, momentum=0.9, weight_decay=0.5)
    expected, buffer = torch.zeros(shape), torch.zeros(shape)
    for _ in range(3):
        gradient = torch.randn(shape, generator=generator)
        weight.grad = gradient.clone()
        optimizer.step()
        buffer = 0.9 * buffer + 0.1 * gradient
        direction = orthogonalize(0.1 * gradient + 0.9 * buffer)
        expected = expected * (1 - 0.1 * 0.5) - 0.1 * max(1, shape[0] / shape[1]) ** 0.5 * direction
    torch.testing.assert_close(weight.detach(), expected, rtol=1e-4, atol=1e-5)


def test_half_a_cosine() -> None:
    config = train_config(max_steps=110, warmup_steps=10, schedule={"type": "cosine", "final_ratio": 0.2})
    shares = [factor(step, config) for step in (10, 35, 60, 85, 110)]
    assert shares == pytest.approx([1.0, 0.2 + 0.8 * 0.853553, 0.6, 0.2 + 0.8 * 0.146447, 0.2], abs=1e-6)
