"""Training on at a longer context: the settings of it, the same bits after a kill, a better curve."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.path.conftest import write_corpus
from towpath.cli import main
from towpath.core import runfile
from towpath.core.artifacts import Artifact, Store
from towpath.core.config import change, identity
from towpath.core.errors import ConfigError
from towpath.model.config import GPT2Config, ModernConfig
from towpath.recipes.longer import held_out_windows, table
from towpath.recipes.path import Path as RunPath
from towpath.recipes.run_config import RunConfig
from towpath.tokenizer import TokenShards
from towpath.train import pretrain
from towpath.train.checkpoint import Checkpoint
from towpath.train.config import TrainConfig
from towpath.train.extension import ExtensionConfig, extended_config, extension_training, make_extended
from towpath.train.optimizers.muon import MuonConfig

RUN = """
name = "short"
[data]
validation_share = 0.2
filters = []
[[data.sources]]
type = "files"
name = "prose"
path = "PROSE"
[tokenizer]
vocab_size = 320
[model]
type = "modern"
n_positions = 32
n_embd = 32
n_layer = 2
n_head = 2
[train]
learning_rate = 5e-3
batch_size = 8
gradient_accumulation_steps = 1
max_steps = 150
warmup_steps = 5
save_steps = 50
eval_steps = 150
log_steps = 5
dataloader_num_workers = 0
threads = 1
[train.extension]
n_positions = 128
max_steps = 40
learning_rate = 2e-3
"""


def test_a_step_has_as_many_tokens_as_before() -> None:
    train = TrainConfig(batch_size=16, gradient_accumulation_steps=2, learning_rate=1e-3)
    longer = extension_training(train, 256, 1024)
    assert (longer.batch_size, longer.gradient_accumulation_steps) == (4, 2)
    far = extension_training(train, 256, 256 * 64)
    assert far.batch_size * far.gradient_accumulation_steps == 1
    assert (longer.max_steps, longer.warmup_steps) == (400, 20)
    assert longer.learning_rate == pytest.approx(1e-4)


def test_muons_learning_rate_changes_as_adamws_does() -> None:
    train = TrainConfig(learning_rate=1e-3, optimizer=MuonConfig(learning_rate=0.02))
    train = change(train, {"extension.learning_rate": 2e-4, "extension.max_steps": 10})
    longer = extension_training(train, 256, 512)
    assert isinstance(longer.optimizer, MuonConfig)
    assert longer.optimizer.learning_rate == pytest.approx(0.004)
    assert longer.warmup_steps == 1


def test_settings_of_the_extension_make_no_other_first_checkpoint() -> None:
    plain = TrainConfig()
    assert identity(change(plain, {"extension.n_positions": 8192})) == identity(plain)


def test_any_positions_get_a_longer_config_and_a_shorter_one_is_refused() -> None:
    rope, learned = ModernConfig(n_positions=64), GPT2Config(n_positions=64)
    assert extended_config(rope, ExtensionConfig()).n_positions == 256
    assert extended_config(learned, ExtensionConfig(n_positions=96)).n_positions == 96
    for config in (rope, learned):
        with pytest.raises(ConfigError, match="n_positions = 64 does not extend a context of 64. Try 256"):
            extended_config(config, ExtensionConfig(n_positions=64))


def test_a_scaling_without_an_extension_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "tiny", "--scaling", "ntk"]) != 0
    assert "--scaling belongs to --extend" in capsys.readouterr().err


def test_the_command_line_is_put_into_the_run_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "tiny", "--dry-run", "--extend", "512"]) == 0
    assert "parameters" in capsys.readouterr().out
    assert main(["train", "tiny", "--dry-run", "--extend", "1"]) != 0
    assert "train.extension.n_positions" in capsys.readouterr().err


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A run file whose first checkpoint is there, in a home that ``TOWPATH_HOME`` names."""
    folder = tmp_path_factory.mktemp("short")
    write_corpus(folder / "corpus")
    (folder / "short.toml").write_text(RUN.replace("PROSE", str(folder / "corpus" / "prose")))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TOWPATH_HOME", str(folder / "home"))
        path_in(folder / "home", folder / "short.toml").upto("train")
        yield folder / "short.toml"


def path_in(home: Path, file: Path) -> RunPath:
    return RunPath(runfile.load(RunConfig, file, []).config, Store(home))


class Killed(BaseException):
    """Stands for SIGKILL: nothing in the package handles it."""


def extend_in(home: Path, path: RunPath, config: TrainConfig) -> Artifact:
    """The extension, kept in a home of its own."""
    parents = (path.upto("train"), path.made["tokens"], path.made["tokenizer"])
    elsewhere = RunPath(path.config, Store(home))
    return make_extended(elsewhere.store, elsewhere.run, (config, path.config.seed), parents)


@pytest.mark.slow
def test_killed_and_resumed_equals_uninterrupted(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = path_in(trained.parent / "home", trained)
    config = change(path.config.train, {"extension.max_steps": 8, "save_steps": 3})
    whole = extend_in(tmp_path / "whole", path, config)

    real = pretrain.token_batches
    for step in (1, 5, 8):

        def deadly(*arguments: object, at: int = step) -> object:
            source = real(*arguments)  # pyright: ignore[reportArgumentType]
            batch = source.batch

            def killed(number: int) -> object:
                if number == at - 1:
                    raise Killed
                return batch(number)

            source.batch = killed  # pyright: ignore[reportAttributeAccessIssue]
            return source

        monkeypatch.setattr(pretrain, "token_batches", deadly)
        with pytest.raises(Killed):
            extend_in(tmp_path / "killed", path, config)
    monkeypatch.setattr(pretrain, "token_batches", real)
    resumed = extend_in(tmp_path / "killed", path, config)
    assert resumed.id == whole.id
    weights = [(one.path / "model.safetensors").read_bytes() for one in (whole, resumed)]
    assert weights[0] == weights[1]


@pytest.mark.slow
def test_training_on_reads_the_longer_context_better(
    trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert main(["train", str(trained), "--extend", "128", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    curves = facts["per_position"]
    assert [curves[name][-1][1] for name in ("as trained", "extended", "trained on")] == [32, 128, 128]
    beyond = {name: sum(loss for a, _, loss in curves[name] if a >= 64) / 4 for name in curves}
    assert beyond["trained on"] < beyond["extended"] - 0.02

    opened = Checkpoint.open(Path(facts["path"]))
    assert facts["name"] == "short-128"
    assert opened.facts["stage"] == "extend"
    assert opened.model_config().n_positions == 128
    home = trained.parent / "home"
    first = path_in(home, trained).upto("train")
    assert first.id in Store(home).open(facts["path"]).parents
    (page,) = (home / "runs" / "short").glob("extend-*/per_position.html")
    assert "trained on" in page.read_text()

    assert main(["train", str(trained), "--extend", "128"]) == 0
    assert "as trained" in capsys.readouterr().out


@pytest.mark.slow
def test_a_context_longer_than_all_held_out_text_is_refused_before_training(trained: Path) -> None:
    path = path_in(trained.parent / "home", trained)
    path.upto("train")
    with pytest.raises(ConfigError, match="A context of 1000000 tokens needs 1000001 held-out tokens"):
        held_out_windows(TokenShards(path.made["tokens"]), 1_000_000)


def test_curves_of_another_length_stand_in_one_table() -> None:
    text = table({"as trained": [(0, 16, 1.0)], "trained on": [(0, 16, 2.0), (16, 32, 3.0)]})
    assert [line.split() for line in text.splitlines()[1:]] == [
        ["0", "to", "15", "1.000", "2.000"],
        ["16", "to", "31", "-", "3.000"],
    ]
