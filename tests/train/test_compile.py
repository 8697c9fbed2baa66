"""``train.compile``: the losses of the eager model, and a run that goes on with the same bits."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from torch._dynamo.utils import counters

from tests.train.conftest import assert_same, model, stage, train_config, weights
from towpath.core.metrics import read_log
from towpath.model.language_model import LanguageModel
from towpath.train.stage import run_stage

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler"),
]


@pytest.fixture(autouse=True)
def _nothing_compiled_yet() -> None:
    torch.compiler.reset()
    counters.clear()


def losses(folder: Path) -> list[float]:
    return [row["value"] for row in read_log(folder / "log.jsonl") if row["name"] == "train/loss"]


def trained(folder: Path, **changes: object) -> LanguageModel:
    decoder = model("modern")
    run_stage(stage(folder, train_config(max_steps=6, save_steps=3, **changes)), decoder)
    return decoder


def test_a_compiled_run_has_the_losses_of_an_eager_one_and_goes_on_with_its_own_bits(tmp_path: Path) -> None:
    trained(tmp_path / "eager")
    assert not counters["frames"]["ok"]
    whole = weights(trained(tmp_path / "compiled", compile=True))
    assert counters["frames"]["ok"], "nothing was compiled"
    assert losses(tmp_path / "compiled") == pytest.approx(losses(tmp_path / "eager"), rel=1e-5)
    (last,) = (tmp_path / "compiled" / "checkpoints").glob("step-000006")
    last.rename(tmp_path / "later")
    assert_same(whole, weights(trained(tmp_path / "compiled", compile=True)))
