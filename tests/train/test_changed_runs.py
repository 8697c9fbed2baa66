"""A run whose model, tokenizer, data, settings or processes changed goes on exactly, or says what differs."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest

from tests.path.conftest import run_file, write_corpus
from tests.train.conftest import model, model_config, stage, train_config
from tests.train.test_resume import Killed, kill_at
from towpath.cli import main
from towpath.core.config import change, identity
from towpath.core.errors import TrainError
from towpath.model.language_model import build
from towpath.train.another_run import _differences, tell_what_differs
from towpath.train.parallel.zero import check_adamw
from towpath.train.stage import run_stage


@pytest.fixture
def halfway(tmp_path: Path) -> Path:
    """The folder of a stage that was killed after the save of step 4."""
    one = stage(tmp_path, train_config())
    kill_at(one, 5)
    with pytest.raises(Killed):
        run_stage(one, model())
    return tmp_path


@pytest.mark.parametrize(
    ("changes", "differs"),
    [
        ({"n_embd": 48}, "tokens.weight is 64 x 32 there and 64 x 48 in this run"),
        ({"vocab_size": 128}, "tokens.weight is 64 x 32 there and 128 x 32 in this run"),
        ({"n_positions": 17}, "16 x 32 there and 17 x 32 in this run"),
        ({"n_layer": 3}, r"blocks\.2\.[a-z._]+ [0-9x ]+ of this run is not in it"),
        ({"n_layer": 1}, r"blocks\.1\.[a-z._]+ [0-9x ]+ there is not in this run's model"),
    ],
)
def test_a_save_of_another_model_is_refused_with_both_shapes(
    halfway: Path, changes: dict[str, int], differs: str
) -> None:
    other = build(change(model_config(), changes), seed=1)
    with pytest.raises(TrainError) as caught:
        run_stage(stage(halfway, train_config()), other)
    said = str(caught.value)
    assert f"{halfway / 'checkpoints' / 'step-000004'} is a save of another model" in said
    assert re.search(differs, said), said
    assert f"remove {halfway / 'checkpoints'} to train this model anew" in said


@pytest.mark.parametrize(("before", "now"), [("adamw", "muon"), ("muon", "adamw"), ("adafactor", "adamw")])
def test_state_of_another_optimizer_is_refused_with_both(tmp_path: Path, before: str, now: str) -> None:
    one = stage(tmp_path, train_config(optimizer={"type": before}))
    kill_at(one, 5)
    with pytest.raises(Killed):
        run_stage(one, model())
    other = stage(tmp_path, train_config(optimizer={"type": now}))
    with pytest.raises(
        TrainError, match=rf"state of the optimizers .*{before}.* this run updates by .*{now}"
    ):
        run_stage(other, model())


def test_zero_refuses_state_that_it_can_not_use() -> None:
    check_adamw(["adamw/exp_avg/a", "adamw/exp_avg_sq/a", "adamw/step/a"], ["a"])
    with pytest.raises(TrainError, match="optimizers adamw, muon, and ZeRO updates by adamw"):
        check_adamw(["muon/momentum/a", "adamw/exp_avg/b", "adamw/exp_avg_sq/b"], ["a", "b"])


def test_a_setting_that_one_side_lacks_is_said_to_be_nothing_there() -> None:
    before = {"settings": {"schedule": {"type": "wsd", "decay_ratio": 0.4}}, "parents": {}}
    after = {"settings": {"schedule": {"type": "wsd", "final_ratio": 0.1}}, "parents": {}}
    assert list(_differences(before, after)) == [
        "schedule.decay_ratio: 0.4 there, nothing here",
        "schedule.final_ratio: nothing there, 0.1 here",
    ]


CHANGED = [
    (
        ["train.learning_rate=1e-3", "model.n_layer=1", "seed=4"],
        [
            r"train\.learning_rate: 0\.003 there, 0\.001 here",
            r"model\.n_layer: 2 there, 1 here",
            "seed: 3 there, 4 here",
        ],
    ),
    (
        ["tokenizer.vocab_size=410"],
        [r"tokens: \w+ there, \w+ here; the data or the tokenizer", r"tokenizer: \w+ there, \w+ here"],
    ),
]


@pytest.mark.slow
def test_a_changed_run_starts_anew_and_says_what_differs_with_both_values(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_corpus(tmp_path / "corpus")
    place = tmp_path / "micro.toml"
    place.write_text(run_file(tmp_path / "corpus"))
    monkeypatch.setenv("TOWPATH_HOME", str(tmp_path / "home"))
    words = ["train", str(place), "train.max_steps=4", "train.eval_steps=100"]
    assert main(words) == 0
    assert "What differs" not in capsys.readouterr().err
    (first,) = (tmp_path / "home" / "runs" / "micro").glob("train-*")

    for settings, patterns in CHANGED:
        assert main([*words, *settings]) == 0
        said = capsys.readouterr().err
        (new,) = set(first.parent.glob("train-*")) - {first}
        assert f"whose checkpoints are in {first}, and it starts anew in {new}" in said
        for pattern in patterns:
            assert re.search(pattern, said), (pattern, said)
        shutil.rmtree(new)  # the next is compared with the first too

    (tmp_path / "corpus" / "prose" / "000.txt").write_text("Another text about boats on the water. " * 30)
    assert main(words) == 0
    said = capsys.readouterr().err
    assert re.search(r"tokens: \w+ there, \w+ here; the data or the tokenizer changed", said), said


def test_settings_that_change_no_result_make_no_other_run() -> None:
    base = train_config()
    faster = train_config(log_steps=2, save_steps=2, threads=2, auto_micro_batch=True, keep_checkpoints=1)
    assert identity(base) == identity(faster)
    assert identity(base) != identity(train_config(batch_size=2))


def test_the_stage_that_saved_last_is_compared_and_a_folder_is_told_of_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, seed in (("train-a", 1), ("train-b", 2)):
        (tmp_path / name).mkdir()
        tell_what_differs(tmp_path / name, {"seed": seed}, ())
        (tmp_path / name / "checkpoints" / "step-000004").mkdir(parents=True)
    os.utime(tmp_path / "train-a" / "checkpoints" / "step-000004", (0, 0))
    capsys.readouterr()
    (tmp_path / "train-c").mkdir()
    tell_what_differs(tmp_path / "train-c", {"seed": 3}, ())
    assert "seed: 2 there, 3 here" in capsys.readouterr().err
    tell_what_differs(tmp_path / "train-c", {"seed": 3}, ())
    assert capsys.readouterr().err == ""
