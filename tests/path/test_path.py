"""The path in small: from text to an answer, its errors, and the way back to the documents."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from towpath.cli import main
from towpath.core.locks import locked


@pytest.fixture(scope="module")
def home(micro: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which the micro run is finished."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TOWPATH_HOME", str(folder))
        assert main(["run", str(micro)]) == 0
    return folder


@pytest.fixture(autouse=True)
def _here(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    place = request.getfixturevalue("home") if "home" in request.fixturenames else tmp_path
    monkeypatch.setenv("TOWPATH_HOME", str(place))


def result(capsys: pytest.CaptureFixture[str], *words: str):
    capsys.readouterr()
    assert main([*words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def refusal(capsys: pytest.CaptureFixture[str], *words: str, code: int = 1) -> str:
    capsys.readouterr()
    assert main(list(words)) == code
    return capsys.readouterr().err.strip()


def test_a_finished_run_is_found_and_not_repeated(
    home: Path, micro: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.stat().st_mtime_ns for path in home.glob("artifacts/*/*/*")}
    facts = result(capsys, "run", str(micro))
    assert list(facts) == ["data", "tokenizer", "tokens", "statistics", "train", "evaluate", "tune"]
    assert before == {path: path.stat().st_mtime_ns for path in home.glob("artifacts/*/*/*")}


def test_a_runs_name_means_what_it_made_or_found_last(
    micro: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ids = []
    for name, rate in (("first", 0.01), ("second", 0.02), ("first", 0.02), ("first", 0.01), ("second", 0.01)):
        train = (f"name={name}", f"train.learning_rate={rate}", "train.max_steps=2", "train.warmup_steps=0")
        made = result(capsys, "train", str(micro), *train, "until=train")["id"]
        assert result(capsys, "trace", name)[0]["id"] == made
        ids.append(made)
    assert ids[1:] == [ids[1], ids[1], ids[0], ids[0]]
    assert len(set(ids)) == 2


def test_the_run_leaves_its_settings_surroundings_and_report(home: Path) -> None:
    folder = home / "runs" / "micro"
    assert 'name = "micro"' in (folder / "run.toml").read_text()
    assert json.loads((folder / "environment.json").read_bytes())["packages"]["torch"]
    assert "<svg" in (folder / "report.html").read_text()


def test_the_resolved_run_file_makes_the_same_artifacts(
    home: Path, micro: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    resolved = home / "runs" / "micro" / "run.toml"
    assert result(capsys, "run", str(resolved)) == result(capsys, "run", str(micro))


def test_scores_are_in_bits_per_byte(home: Path, micro: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scores = result(capsys, "evaluate", str(micro))
    assert set(scores) == {"prose", "chats"}
    assert all(0.5 < score["bits_per_byte"] < 4 for score in scores.values())


def test_the_data_of_a_run_can_be_counted_looked_at_and_described(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    facts = result(capsys, "data", "stats", "micro")
    assert set(facts["sources"]) == {"prose", "chats"}
    assert all(source["train_tokens"] > 0 for source in facts["sources"].values())
    [seen] = result(capsys, "data", "show", "micro", "--source", "chats", "--limit", "1", "--diff")
    assert seen["document"]["source"] == "chats"
    assert seen["diff"] == ""
    capsys.readouterr()
    assert main(["data", "card", "micro"]) == 0
    assert json.loads(capsys.readouterr().out)["name"] == "micro"


def test_data_outside_its_bounds_fails_with_both_numbers(
    home: Path, micro: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "bounded.toml"
    file.write_text(micro.read_text() + '[data.bounds]\n"all.documents" = { min = 1 }\n')
    assert main(["data", "validate", str(file)]) == 0
    file.write_text(micro.read_text() + '[data.bounds]\n"all.documents" = { min = 999 }\n')
    capsys.readouterr()
    assert main(["data", "validate", str(file)]) == 1
    assert "at least 999 is asked for" in capsys.readouterr().out


def test_forgetting_names_dataset_shards_and_models(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    [span, *_] = result(capsys, "trace", "micro", "--step", "3")
    reached = result(capsys, "data", "forget", "--id", span["document_id"], "--dry-run")["reached"]
    assert {item["kind"] for item in reached} >= {"documents", "tokens", "tokenizer", "checkpoint", "scores"}
    [shards] = [item["files"] for item in reached if item["kind"] == "tokens"]
    assert any(name.startswith(f"train/{span['source']}/") for name in shards)


def test_a_quality_classifier_is_trained_from_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for kind, word in (("good", "river boat"), ("bad", "cheap pills")):
        lines = [json.dumps({"text": f"{word} number {number} " * 9}) + "\n" for number in range(30)]
        (tmp_path / f"{kind}.jsonl").write_text("".join(lines))
    words = [f"--{kind}={tmp_path / kind}.jsonl" for kind in ("good", "bad")]
    report = result(capsys, "data", "classify", "train", *words, f"--into={tmp_path / 'model'}")
    assert report["area_under_curve"] == 1.0
    assert (tmp_path / "model" / "classifier.safetensors").exists()


def test_a_run_whose_data_hold_nothing_planted_says_so(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = result(capsys, "data", "poison", "micro", "--limit", "50")
    assert report["n_documents"] == 50
    assert report["templates"] == []


def test_generate_continues_a_text_and_a_seed_repeats_it(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["generate", "micro-chat", "The river", "--max-length", "20", "--seed", "4"]
    first = result(capsys, *words)
    assert first["generated_text"].startswith("The river")
    assert result(capsys, *words) == first


def test_generate_at_temperature_zero_is_greedy(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["generate", "micro", "The river", "--max-length", "16", "--temperature", "0"]
    assert result(capsys, *words, "--seed", "1") == result(capsys, *words, "--seed", "2")


def test_chat_answers(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    facts = result(capsys, "chat", "micro", "--say", "Old gate.")
    assert [turn["role"] for turn in facts["messages"]] == ["user", "assistant"]


def test_trace_leads_from_the_assistant_to_the_documents(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lineage = result(capsys, "trace", "micro-chat")
    assert result(capsys, "trace", "micro") == lineage  # a run's name means its last checkpoint
    assert [item["kind"] for item in lineage] == [
        "checkpoint",
        "checkpoint",
        "tokens",
        "documents",
        *["features", "records"] * 2,
        "tokenizer",
    ]
    spans = result(capsys, "trace", "micro-chat", "--step", "7")
    assert {span["source"] for span in spans} <= {"prose", "chats"}
    document = result(capsys, "trace", "micro-chat", "--document", spans[0]["document_id"])
    assert document["split"] == "train"
    low, high = spans[0]["bytes"]
    assert 0 <= low < high <= len(document["text"].encode()) + 1


def test_preview_marks_only_the_assistants_words(
    home: Path, micro: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    facts = result(capsys, "tune", "sft", str(micro), "--preview", "1")
    shown = facts["shown"][0]
    assert "<|assistant|>«" in shown
    assert "<|end|>»" in shown
    assert "<|user|>«" not in shown


def test_a_second_process_on_the_same_run_is_refused(
    home: Path, micro: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with locked(home / "runs" / "micro" / "lock", "run 'micro'"):
        assert "run 'micro' is in use by process" in refusal(capsys, "run", str(micro))


def test_a_flipped_bit_in_any_artifact_is_named(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for pattern in (
        "tokens/*/train/*/*.bin",
        "tokenizer/*/tokenizer.json",
        "checkpoint/micro-chat-*/model.safetensors",
    ):
        path = next((home / "artifacts").glob(pattern))
        content = path.read_bytes()
        path.write_bytes(bytes([content[0] ^ 1]) + content[1:])
        try:
            folder = path.relative_to(home / "artifacts").parts[:2]
            message = refusal(capsys, "trace", str(home / "artifacts" / Path(*folder)))
            assert f"{path.name} is damaged" in message
        finally:
            path.write_bytes(content)


def test_a_tokenizer_that_is_not_the_models_own_is_refused(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import shutil

    from towpath.core.files import MANIFEST, read_manifest, seal

    source = next((home / "artifacts" / "checkpoint").glob("micro-chat-*"))
    copy = tmp_path / "copy"
    shutil.copytree(source, copy)
    for name, old, new in (
        ("tokenizer.json", b'"<|pad|>"', b'"<|pod|>"'),
        ("chat_template.json", b'"<|user|>"', b'"<|user|> "'),
    ):
        original = (copy / name).read_bytes()
        assert old in original
        (copy / name).write_bytes(original.replace(old, new))
        facts = {key: value for key, value in (read_manifest(copy) or {}).items() if key != "files"}
        seal(copy, facts)
        assert (copy / MANIFEST).exists()
        message = refusal(capsys, "chat", str(copy), "--say", "hi")
        assert f"{name} has the digest" in message
        assert "the model was trained with" in message
        (copy / name).write_bytes(original)


def test_chatting_with_an_untuned_model_says_what_to_do(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = next(item for item in (home / "artifacts" / "checkpoint").iterdir() if "chat" not in item.name)
    message = refusal(capsys, "chat", str(path), "--say", "hi")
    assert "was not tuned to chat" in message


@pytest.mark.parametrize(
    ("words", "code", "expected"),
    [
        (
            ["run", "absent.toml"],
            2,
            "absent.toml: No such file or directory. Write one with: towpath recipe tiny",
        ),
        (
            ["run", "tiny", "train.max_stps=3"],
            2,
            "unknown field 'train.max_stps'. Did you mean 'train.max_steps'?",
        ),
        (["run", "tiny", "model.n_embd=770"], 2, "n_embd = 770 is not a multiple of n_head"),
        (["run", "tiny", "--until", "tran"], 2, "no such stage. Did you mean 'train'?"),
        (["data", "sats", "tiny"], 2, "Did you mean 'stats'?"),
        (["data", "forget"], 2, "--id ID or --url URL"),
        (["recipe", "tny"], 2, "Unknown recipe 'tny'. Did you mean 'tiny'?"),
        (["generate", "nothing", "hi"], 1, "No checkpoint 'nothing'"),
        (["run", "train.max_steps=3"], 2, "stands where a run file is expected"),
    ],
)
def test_likely_mistakes_are_answered(
    words: list[str], code: int, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert expected in refusal(capsys, *words, code=code)


def test_every_recipe_is_a_valid_run_file(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    from towpath.recipes import RECIPES

    for name in RECIPES:
        assert main(["recipe", name]) == 0
        file = tmp_path / f"{name}.toml"
        file.write_text(capsys.readouterr().out)
        assert main(["config", "check", str(file)]) == 0
        assert main(["config", "diff", str(file), name]) == 0
        assert capsys.readouterr().out.strip().endswith("no difference")
