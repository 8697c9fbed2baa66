"""The loop: a step's loss is a mean over all its targets, and nothing that is not finite is applied."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from tests.train.conftest import (
    CONTEXT,
    VOCABULARY,
    batches,
    model,
    model_config,
    stage,
    train_config,
    weights,
)
from towpath.core.errors import TrainError
from towpath.model.language_model import build
from towpath.train.batches import IGNORED, Batch, ahead
from towpath.train.loop import accumulate, training_loop
from towpath.train.parallel.strategy import Strategy
from towpath.train.precision import choose_precision
from towpath.train.stage import run_stage


def ragged(rows: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids, and labels of which each row ignores another share."""
    generator = torch.Generator().manual_seed(3)
    ids = torch.randint(0, VOCABULARY, (rows, CONTEXT), generator=generator)
    labels = ids.clone()
    for row in range(rows):
        labels[row, : 1 + row % (CONTEXT - 2)] = IGNORED
    return ids, labels


@pytest.mark.parametrize("accumulation", [2, 4, 16])
def test_accumulated_gradients_equal_those_of_one_big_batch(accumulation: int) -> None:
    ids, labels = ragged(16)
    targets = int((labels[:, 1:] != IGNORED).sum())
    precision = choose_precision(train_config())
    results = []
    for parts in (1, accumulation):
        decoder = model(dropout=0.0)
        micro = [
            {"input_ids": i, "labels": o} for i, o in zip(ids.chunk(parts), labels.chunk(parts), strict=True)
        ]
        loss = accumulate(decoder, Batch(micro, targets), Strategy(train_config(), precision))
        results.append((loss, {name: value.grad for name, value in decoder.named_parameters()}))
    (loss, gradients), (other_loss, other_gradients) = results
    assert loss == pytest.approx(other_loss, abs=1e-6)
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, other_gradients[name], rtol=0, atol=1e-6)


def test_the_loss_falls(tmp_path: Path) -> None:
    config = train_config(max_steps=60, eval_steps=1000)
    run_stage(stage(tmp_path, config), model(dropout=0.0))
    from towpath.core.metrics import read_log

    losses = [row["value"] for row in read_log(tmp_path / "log.jsonl") if row["name"] == "train/loss"]
    assert losses[0] == pytest.approx(math.log(VOCABULARY), rel=0.1)
    assert sum(losses[-5:]) / 5 < 0.75 * losses[0]


def test_the_specifications_four_arguments_are_enough() -> None:
    decoder, twin = model(dropout=0.0), model(dropout=0.0)
    ids = torch.randint(0, VOCABULARY, (6, 4, CONTEXT), generator=torch.Generator().manual_seed(1))
    optimizer = torch.optim.AdamW(decoder.parameters(), lr=1e-3)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (1 + step))
    training_loop(decoder, [{"input_ids": rows, "labels": rows} for rows in ids], optimizer, scheduler)
    own = torch.optim.AdamW(twin.parameters(), lr=1e-3)
    for step, rows in enumerate(ids):
        twin(rows, rows).loss.backward()
        torch.nn.utils.clip_grad_norm_(twin.parameters(), 1.0)
        own.step()
        own.zero_grad()
        own.param_groups[0]["lr"] = 1e-3 / (2 + step)
    for name, value in twin.named_parameters():
        torch.testing.assert_close(dict(decoder.named_parameters())[name], value, rtol=0, atol=1e-6)


class Poisoned:
    """Batches whose labels are all ignored but counted: the loss of such a step is 0 / 0 made by hand."""

    def __init__(self, source, steps: range) -> None:
        self.source = source
        self.steps = steps

    def batch(self, step: int) -> Batch:
        batch = self.source.batch(step)
        return Batch(batch.micro_batches, 0) if step in self.steps else batch

    def describe(self, step: int) -> str:
        return self.source.describe(step)


def test_a_step_that_is_not_finite_is_not_applied(tmp_path: Path) -> None:
    one = stage(tmp_path, train_config(max_steps=6, warmup_steps=0, max_bad_steps=3))
    one.batches = Poisoned(batches(one.config), range(2, 5))
    decoder = model()
    run_stage(one, decoder)
    assert all(torch.isfinite(value).all() for value in weights(decoder).values())
    rows = [line for line in (tmp_path / "log.jsonl").read_text().splitlines() if "bad_steps" in line]
    assert ['"value": 3' in row for row in rows] == [False, False, False, False, True, False]


def test_too_many_bad_steps_stop_the_run_and_name_the_samples(tmp_path: Path) -> None:
    one = stage(tmp_path, train_config(max_bad_steps=2, save_steps=1))
    one.batches = Poisoned(batches(one.config), range(4, 9))
    decoder = model()
    with pytest.raises(TrainError, match=r"Step 7: loss = (nan|inf).*samples 48 to 55.*None was applied"):
        run_stage(one, decoder)
    assert all(torch.isfinite(value).all() for value in weights(decoder).values())


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_batches_made_ahead_come_in_order(workers: int) -> None:
    source = batches(train_config())
    made = list(ahead(source, 5, 4, workers))
    expected = [source.batch(step) for step in range(5, 9)]
    for one, other in zip(made, expected, strict=True):
        for left, right in zip(one.micro_batches, other.micro_batches, strict=True):
            assert torch.equal(left["input_ids"], right["input_ids"])


@pytest.mark.parametrize("kind", ["gpt2", "modern", "moe"])
def test_bf16_autocast_trains_on_a_cpu(kind: str, tmp_path: Path) -> None:
    decoder = model(kind)
    run_stage(stage(tmp_path, train_config(precision="bf16", max_steps=3)), decoder)
    assert decoder.head_weight.dtype == torch.float32


@pytest.mark.parametrize("kind", ["gpt2", "modern"])
def test_bf16_is_near_fp32_where_attention_has_a_kernel_of_its_own(kind: str) -> None:
    config = model_config(kind, dropout=0.0).model_copy(update={"n_positions": 128})
    ids = torch.randint(0, VOCABULARY, (2, 128), generator=torch.Generator().manual_seed(0))
    found = []
    for precision in ("fp32", "bf16"):
        decoder = build(config, seed=1).train()
        with choose_precision(train_config(precision=precision)).forward():
            loss = decoder(ids, ids).loss
        loss.backward()
        found.append(
            torch.cat([value.grad.flatten() for value in decoder.parameters() if value.grad is not None])
        )
    assert 0 < float((found[0] - found[1]).norm()) < 0.05 * float(found[0].norm())


def test_fp16_on_a_cpu_is_said_to_be_fp32(capsys: pytest.CaptureFixture[str]) -> None:
    assert choose_precision(train_config(fp16=True)).name == "fp32"
    assert "fp16 needs a GPU" in capsys.readouterr().err


def test_cuda_without_a_gpu_is_refused() -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(TrainError, match='train.device = "cuda", but torch sees no GPU'):
        choose_precision(train_config(device="cuda"))
