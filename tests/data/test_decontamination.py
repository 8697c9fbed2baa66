from __future__ import annotations

import json
import re
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from towpath.core.artifacts import Artifact, Store
from towpath.core.errors import DataError
from towpath.core.files import write_durably
from towpath.core.texts import Texts
from towpath.data import DataConfig, Documents, make_documents, pipeline
from towpath.data.config import NearDuplicatesConfig
from towpath.data.evaluation_sets import EvaluationRecord, EvaluationSet
from towpath.data.kernels.ngram_overlap import Overlaps, Records, overlaps, reference_overlaps
from towpath.data.sources.files import FilesSource

from .conftest import WriteLines, files_config, prose


def texts_of(parts: list[str]) -> Texts:
    return Texts.of(pa.array(parts, pa.large_string()))


def records_of(parts: list[str], most: list[int] | int = 13, least: int = 8) -> Records:
    most_words = np.broadcast_to(np.array(most, np.int64), len(parts)).copy()
    return Records(texts_of(parts), most_words, np.minimum(most_words, least))


words = st.sampled_from(["a", "A", "b", "ab", "É", "é", "漢字", "\u3000", "—", "x_1", "overlapping"])
parts = st.lists(st.lists(words, max_size=12).map(" ".join), max_size=6)


@settings(deadline=None, max_examples=50)
@given(parts, parts, st.integers(1, 5), st.integers(1, 4))
def test_the_kernel_finds_exactly_the_runs_that_the_reference_does(
    records: list[str], texts: list[str], most: int, least: int
) -> None:
    several = [most + number % 2 for number in range(len(records))]
    asked = records_of(records, several, least)
    found, expected = overlaps(asked, texts_of(texts)), reference_overlaps(asked, texts_of(texts))
    assert found.hits.tolist() == expected.hits.tolist()
    assert found.lengths.tolist() == expected.lengths.tolist()


@settings(deadline=None, max_examples=50)
@given(st.binary(max_size=60), st.binary(max_size=60))
def test_any_bytes_can_be_searched_for_any_bytes(record: bytes, text: bytes) -> None:
    def column(raw: bytes) -> Texts:
        return Texts(np.array([0, len(raw)], np.int64), np.frombuffer(raw, np.uint8))

    records = Records(column(record), np.array([2], np.int64), np.array([1], np.int64))
    found: Overlaps = overlaps(records, column(text))
    assert ((found.hits[:, 1] < found.hits[:, 2]) & (found.hits[:, 2] <= len(text))).all()


def report_of(artifact: Artifact) -> dict[str, dict[str, Any]]:
    content = json.loads((artifact.path / "contamination.json").read_bytes())
    return {task["task"]: task for task in content["tasks"]}


def plain_config(path: Path, *sets: EvaluationSet, **fields: Any) -> DataConfig:
    """Nothing is dropped but duplicates and what the sets take."""
    near = NearDuplicatesConfig(enabled=False)
    changes: dict[str, Any] = {
        "filters": (),
        "near_duplicates": near,
        "validation_share": 0,
        "max_drop_share": 1.0,
    }
    changes["part_documents"] = 1_000
    return files_config(path, decontaminate=sets, **{**changes, **fields})


def test_planted_questions_are_found_and_nothing_clean_is_dropped(
    shared_data: Path, store: Store, json_lines: WriteLines
) -> None:
    hellaswag = EvaluationSet(
        task="hellaswag", path=str(shared_data / "eval/hellaswag_val_2000.jsonl"), fields=("ctx",)
    )
    mmlu = EvaluationSet(
        task="mmlu", path=str(shared_data / "eval/mmlu_validation.jsonl"), fields=("question", "choices")
    )
    pages = (shared_data / "pretrain/web/c4.jsonl").read_text().splitlines()
    pages = list(dict.fromkeys(json.loads(line)["text"] for line in pages))
    clean, hosts = pages[10:], iter(pages[:10])
    texts = list(clean)
    for asked in (hellaswag, mmlu):
        for record in islice((found for found in asked.records() if len(found.text) > 200), 5):
            texts.append(f"{next(hosts)}\n{record.text}\nand so on")
    path = json_lines("web.jsonl", [{"text": text} for text in texts])
    artifact = make_documents(store, plain_config(path, hellaswag, mmlu))
    report = report_of(artifact)
    assert sorted(Documents(artifact).texts("train")) == sorted(clean)
    for task in ("hellaswag", "mmlu"):
        assert report[task]["documents_dropped"] == 5
        assert report[task]["found_records"] >= 5
        assert len(report[task]["examples"]) == 5
    assert report["mmlu"]["records"] == 1_531


def test_training_questions_of_gsm8k_that_share_words_with_test_questions_are_those_of_brute_force(
    shared_data: Path, store: Store, json_lines: WriteLines
) -> None:
    test = shared_data / "eval/gsm8k_test.jsonl"
    training = (shared_data / "eval/gsm8k_train_2000.jsonl").read_text().splitlines()
    questions = list(dict.fromkeys(json.loads(line)["question"] for line in training))
    asked = EvaluationSet(task="gsm8k", path=str(test), fields=("question",))
    path = json_lines("train.jsonl", [{"text": question} for question in questions])
    artifact = make_documents(store, plain_config(path, asked))
    grams = {gram for line in test.read_text().splitlines() for gram in runs(json.loads(line)["question"])}
    expected = [question for question in questions if not grams.isdisjoint(runs(question))]
    assert set(Documents(artifact).texts("train")) == set(questions) - set(expected)
    assert report_of(artifact)["gsm8k"]["documents"] == len(expected) == 3


def runs(text: str) -> set[tuple[str, ...]]:
    """Runs of 13 words, by a rule that is equal for English text."""
    found = re.findall(r"[^\W]+", text.lower())
    return {tuple(found[start : start + 13]) for start in range(len(found) - 12)}


def test_the_overlap_can_be_cut_out(store: Store, json_lines: WriteLines) -> None:
    question = " ".join(f"number{place}" for place in range(20))
    asked = json_lines("eval.jsonl", [{"question": question}, {"question": "too short"}])
    before, after = prose(1), prose(2)
    path = json_lines("web.jsonl", [{"text": f"{before}\n{question.upper()}!\n{after}"}, {"text": question}])
    made = EvaluationSet(task="own", path=str(asked), fields=("question",), action="cut")
    artifact = make_documents(store, plain_config(path, made))
    assert list(Documents(artifact).texts("train")) == [f"{before}\n!\n{after}"]
    report = report_of(artifact)["own"]
    assert (report["records"], report["ignored_records"], report["found_records"]) == (2, 1, 1)
    assert (report["documents"], report["documents_dropped"], report["documents_cut"]) == (2, 1, 1)
    assert report["examples"][0]["shared"] == question
    assert report["examples"][0]["record"] == "eval.jsonl#1"


def test_a_short_record_has_to_match_as_a_whole(store: Store, json_lines: WriteLines) -> None:
    short = "one two three four five six seven eight nine"
    asked = json_lines("eval.jsonl", [{"question": short}])
    texts = [f"{prose(1)} {short.replace(' ', ', ')}.", f"{prose(2)} {short.removesuffix(' nine')}."]
    path = json_lines("web.jsonl", [{"text": text} for text in texts])
    made = EvaluationSet(task="own", path=str(asked), fields=("question",))
    artifact = make_documents(store, plain_config(path, made))
    assert list(Documents(artifact).texts("train")) == texts[1:]


def test_another_evaluation_set_makes_another_dataset_and_the_same_one_does_not(
    store: Store, json_lines: WriteLines
) -> None:
    path = json_lines("web.jsonl", [{"text": prose(seed)} for seed in range(9)])
    asked = json_lines("eval.jsonl", [{"question": prose(100)}])
    config = plain_config(path, EvaluationSet(task="own", path=str(asked), fields=("question",)))
    first = make_documents(store, config)
    assert make_documents(store, config).id == first.id
    json_lines("eval.jsonl", [{"question": prose(3)}])
    second = make_documents(store, config)
    assert second.id != first.id
    assert (first.counts["kept"], second.counts["kept"]) == (9, 8)


def test_a_source_or_a_table_can_be_the_evaluation_set(tmp_path: Path) -> None:
    table = tmp_path / "eval.csv"
    table.write_text('Question,Answer\n"What, now?",this\n')
    made = EvaluationSet(task="own", path=str(table), fields=("Question", "Answer"))
    assert list(made.records()) == [EvaluationRecord("eval.csv#1", "What, now? this")]
    page = tmp_path / "eval.txt"
    page.write_text("a passage")
    source = FilesSource(name="passages", path=str(page))
    assert [record.text for record in EvaluationSet(task="own", sources=(source,)).records()] == ["a passage"]


def test_settings_that_cannot_be_read_say_what_is_expected(json_lines: WriteLines) -> None:
    with pytest.raises(ValueError, match="either 'path' with 'fields', or 'sources'"):
        EvaluationSet(task="own")
    path = json_lines("eval.jsonl", [{"prompt": "x"}])
    made = EvaluationSet(task="own", path=str(path), fields=("question",))
    with pytest.raises(DataError, match="no field 'question'; it has: prompt"):
        list(made.records())


def test_workers_and_a_kill_before_the_report_change_nothing(
    tmp_path: Path, json_lines: WriteLines, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = json_lines("eval.jsonl", [{"question": prose(seed)} for seed in (3, 20)])
    made = EvaluationSet(task="own", path=str(asked), fields=("question",), action="cut")
    texts = [prose(seed) if seed % 7 else f"{prose(50 + seed)}\n{prose(3)}" for seed in range(30)]
    path = json_lines("web.jsonl", [{"text": text} for text in texts])
    config = plain_config(path, made, part_documents=4)
    whole = make_documents(Store(tmp_path / "whole"), config.model_copy(update={"workers": 2}))

    def killed(path: Path, content: bytes) -> None:
        if path.name == "contamination.json":
            raise KeyboardInterrupt
        write_durably(path, content)

    store = Store(tmp_path / "killed")
    alone = config.model_copy(update={"workers": 1})
    monkeypatch.setattr(pipeline, "write_durably", killed)
    with pytest.raises(KeyboardInterrupt):
        make_documents(store, alone)
    monkeypatch.undo()
    again = make_documents(store, alone)
    assert {name: facts["sha256"] for name, facts in again.files.items()} == {
        name: facts["sha256"] for name, facts in whole.files.items()
    }
    assert report_of(again)["own"]["documents"] == 7  # five with a planted text, and both texts
