"""The path in small with experts and with a memory: from text to scores, and what the log says of experts."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.path.conftest import write_corpus
from tests.path.test_families import OBJECTIVES, run_file
from towpath.cli import main
from towpath.core.metrics import read_log

EXTRA = {
    "moe": "n_expert = 4\nbalance = { type = 'bias' }\ncapacity_factor = 1.0",
    "recurrent": "segment_tokens = 16\nmemory_tokens = 32",
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", EXTRA)
def test_from_text_to_scores(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOWPATH_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(OBJECTIVES, kind, "causal")
    write_corpus(tmp_path / "corpus")
    text = run_file(tmp_path / "corpus", kind).replace("dropout = 0.0", EXTRA[kind])
    (tmp_path / "run.toml").write_text(text)
    assert main(["run", "run.toml"]) == 0
    (log,) = tmp_path.rglob("log.jsonl")
    last = {row["name"]: row["value"] for row in read_log(log) if row["step"] == 60}
    assert last["validation/loss"] < 5.5
    if kind == "moe":
        assert 1 <= last["validation/experts/max_load"] <= 4
        assert 0 < last["validation/experts/load_entropy"] <= 1
        assert 0 <= last["validation/experts/dropped"] < 1
        shares = [last[f"validation/experts/1/share/{expert}"] for expert in range(4)]
        assert sum(shares) == pytest.approx(1)
