"""The path in small for the other families: text to an encoder or an encoder-decoder, and its scores."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.path.conftest import write_corpus
from towpath.cli import main
from towpath.core.metrics import read_log
from towpath.model.text import generate_text
from towpath.train.checkpoint import Checkpoint
from towpath.train.objectives.masked import MASK

OBJECTIVES = {"bert": "masked", "t5": "span_corruption", "gpt2": "prefix_lm"}


def run_file(corpus: Path, kind: str) -> str:
    return f"""
name = "micro-{kind}"
[data]
validation_share = 0.1
filters = []
[[data.sources]]
type = "files"
name = "prose"
path = "{corpus / "prose"}"
[tokenizer]
vocab_size = 400
[model]
type = "{kind}"
n_positions = 64
n_embd = 32
n_layer = 2
n_head = 2
dropout = 0.0
[train]
objective = {{ type = "{OBJECTIVES[kind]}" }}
learning_rate = 5e-3
batch_size = 8
gradient_accumulation_steps = 1
max_steps = 60
warmup_steps = 5
save_steps = 30
eval_steps = 30
log_steps = 5
dataloader_num_workers = 0
[evaluate]
batch_size = 8
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", OBJECTIVES)
def test_from_text_to_scores(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TOWPATH_HOME", str(tmp_path / "home"))
    write_corpus(tmp_path / "corpus")
    file = tmp_path / "run.toml"
    file.write_text(run_file(tmp_path / "corpus", kind))
    capsys.readouterr()
    assert main(["run", str(file), "--json"]) == 0
    capsys.readouterr()
    assert main(["evaluate", str(file), "--json"]) == 0
    scores = json.loads(capsys.readouterr().out)

    (log,) = (tmp_path / "home" / "runs" / f"micro-{kind}").glob("**/log.jsonl")
    rows = list(read_log(log))
    losses = [row["value"] for row in rows if row["name"] == "train/loss"]
    checked = [row["value"] for row in rows if row["name"] == "validation/loss"]
    assert losses[-1] < losses[0] - 0.5
    assert len(checked) == 2
    assert checked[1] < checked[0]
    assert scores["prose"]["loss"] == pytest.approx(checked[1], rel=1e-5)

    (manifest,) = (tmp_path / "home").glob("artifacts/checkpoint/*/manifest.json")
    loaded = Checkpoint.open(manifest.parent).load()
    assert loaded.model.config.type == kind
    assert (MASK in loaded.tokenizer.special) == (kind == "bert")
    assert ("<extra_id_0>" in loaded.tokenizer.special) == (kind == "t5")
    if kind != "bert":
        text = generate_text(loaded.model, loaded.tokenizer, "The river", max_length=20, seed=1)
        assert isinstance(text, str)
