"""The command line: quick help, run files, exit codes."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from towpath.cli import VERBS, main


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from towpath.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "print(sorted({'torch', 'daft', 'pyarrow', 'pydantic', 'numpy'} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
    assert all(verb in done.stdout for verb in VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_without_torch(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([verb, "--help"])
    assert stopped.value.code == 0
    assert f"towpath {verb}" in capsys.readouterr().out


def test_no_verb_prints_help_and_is_a_wrong_use(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "Start with: towpath run tiny" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["trian", "run.toml"], "there is no verb 'trian'. Did you mean 'train'?"),
        (["train"], "RUN, a run file or a recipe. Write one with: towpath recipe tiny > run.toml"),
        (["launch", "local", "-n", "2"], "RUN, a run file or a recipe."),
        (["plan", "tiny", "--measure", "--no-measure"], "not allowed with"),
    ],
)
def test_a_word_that_is_wrong_or_missing_is_answered(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(words)
    assert stopped.value.code == 2
    assert said in capsys.readouterr().err


def test_a_misspelt_recipe_offers_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "check", "tinny"]) == 2
    assert "'tinny' is neither a file nor a recipe. Did you mean 'tiny'?" in capsys.readouterr().err


def test_config_show_names_the_origin_of_every_value(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "show", "tiny", "train.max_steps=77", "--json"]) == 0
    rows = {row["key"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["train.max_steps"] == {"key": "train.max_steps", "value": 77, "origin": "command line"}
    assert rows["tokenizer.vocab_size"]["origin"] == "recipe tiny"
    assert rows["serve.port"]["value"] == 8000


def test_config_schema_is_json_and_describes_every_section(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "schema"]) == 0
    schema = json.loads(capsys.readouterr().out)
    assert {"data", "tokenizer", "model", "train", "evaluate", "tune", "serve"} <= set(schema["properties"])
    assert _references(schema) <= {f"#/$defs/{name}" for name in schema["$defs"]}


def _references(node: object) -> set[str]:
    if isinstance(node, dict):
        here = {node["$ref"]} if isinstance(node.get("$ref"), str) else set()
        return here.union(*(_references(value) for value in node.values()))
    if isinstance(node, list):
        return set().union(*(_references(value) for value in node))
    return set()


def test_a_dry_run_counts_without_training(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "gpt-125m", "--dry-run", "--json"]) == 0
    sizes = json.loads(capsys.readouterr().out)
    assert sizes["parameters"] == 50257 * 768 + 2048 * 768 + 12 * (12 * 768 * 768 + 13 * 768) + 2 * 768
    assert sizes["tokens"] == 100_000 * 4 * 32 * 2048


def test_recipes_are_listed_with_what_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipe", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["tiny"].startswith("Chats, an encyclopedia and code")


def test_debug_shows_the_traceback() -> None:
    from towpath.core.errors import ConfigError

    with pytest.raises(ConfigError):
        main(["recipe", "nothing", "--debug"])


def test_settings_may_stand_behind_options(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "tiny", "--dry-run", "--json", "train.max_steps=7", "train.warmup_steps=1"]) == 0
    assert json.loads(capsys.readouterr().out)["steps"] == 7
    with pytest.raises(SystemExit):
        main(["train", "tiny", "--set", "train.max_steps=7"])
    assert "Settings are written KEY=VALUE" in capsys.readouterr().err
