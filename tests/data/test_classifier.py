from __future__ import annotations

import hashlib
import json
import random
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from towpath.core.errors import ConfigError, DataError
from towpath.core.texts import Texts
from towpath.data.classifier import (
    Classifier,
    ClassifierTrainingConfig,
    area_under_curve,
    labelled_texts,
    train_classifier,
)
from towpath.data.features.classifier import ClassifierFeatures
from towpath.data.filters.classifier import ClassifierConfig
from towpath.data.kernels.classifier import Shape, reference_scores, reference_train_, scores, train_
from towpath.data.parts import to_table

from .conftest import document, prose

SMALL = ClassifierTrainingConfig(bucket_bits=12)


def chunks(text: str, size: int = 3_000) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text) - size // 2, size)]


def noise(seed: int) -> str:
    chance = random.Random(seed)
    return " ".join(chance.choice(["lol", "click", "here", "free", "omg", "12:04", "!!!"]) for _ in range(80))


def small_classifier() -> Classifier:
    return train_classifier(map(prose, range(30)), map(noise, range(30)), SMALL)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.text(st.sampled_from("abAB 19é.,\n\x00\x7f")), min_size=1, max_size=6),
    st.integers(1, 4),
    st.integers(1, 20),
)
def test_the_kernel_equals_its_reference(texts: list[str], max_ngram: int, max_bytes: int) -> None:
    packed = Texts.of(pa.array(texts, pa.large_string()))
    shape = Shape(8, max_ngram, max_bytes)
    is_good = np.arange(len(texts), dtype=np.uint8) % 2
    order = np.tile(np.arange(len(texts)), 2).astype(np.int64)
    ours, expected = np.zeros(256, np.float32), np.zeros(256, np.float32)
    before = train_(ours, packed, is_good, order, learning_rate=3.0, shape=shape)
    reference = reference_train_(expected, packed, is_good, order, learning_rate=3.0, shape=shape)
    np.testing.assert_array_equal(ours, expected)
    np.testing.assert_array_equal(before, reference)
    np.testing.assert_array_equal(scores(packed, ours, shape), reference_scores(packed, ours, shape))


def test_encyclopedia_is_told_from_web_and_chat_in_articles_that_were_not_trained_on(
    shared_data: Path,
) -> None:
    articles = (shared_data / "pretrain/encyclopedia/wikipedia_text.txt").read_text("utf-8").splitlines()
    web = (shared_data / "pretrain/web/c4.jsonl").read_text("utf-8").splitlines()
    channels = [path.read_text("utf-8", "replace") for path in sorted((shared_data / "raw/irc").iterdir())]
    good = [chunk for article in articles[:20] for chunk in chunks(article)]
    bad = [json.loads(line)["text"] for line in web[:160]] + [
        chunk for channel in channels[:8] for chunk in chunks(channel)[:20]
    ]
    unseen_good = [chunk for article in articles[20:] for chunk in chunks(article)]
    unseen_bad = [json.loads(line)["text"] for line in web[160:]] + [chunks(text)[0] for text in channels[8:]]
    is_good = np.array([True] * len(unseen_good) + [False] * len(unseen_bad))

    trained = train_classifier(good, bad)
    found = trained.scores([*unseen_good, *unseen_bad])
    assert area_under_curve(found, is_good) >= 0.9
    assert trained.report is not None
    assert trained.report.area_under_curve >= 0.9
    assert trained.report.calibration_error < 0.15
    assert trained.report.loss_of_epochs[-1] < trained.report.loss_of_epochs[0]

    mixed = [*good, *bad]
    random.Random(0).shuffle(mixed)
    control = train_classifier(mixed[: len(good)], mixed[len(good) :])
    assert abs(area_under_curve(control.scores([*unseen_good, *unseen_bad]), is_good) - 0.5) < 0.3
    assert control.report is not None
    assert abs(control.report.area_under_curve - 0.5) < 0.2


def test_training_again_gives_the_same_weights_and_another_seed_others() -> None:
    first, second = small_classifier(), small_classifier()
    assert first.weights.tobytes() == second.weights.tobytes()
    assert first.report == second.report
    other = train_classifier(
        map(prose, range(30)), map(noise, range(30)), ClassifierTrainingConfig(bucket_bits=12, seed=1)
    )
    assert other.weights.tobytes() != first.weights.tobytes()


def test_the_report_counts_the_texts_and_its_bins_hold_all_of_them() -> None:
    report = small_classifier().report
    assert report is not None
    assert (report.n_trained, report.n_held_out) == (48, 12)
    assert sum(part.n_documents for part in report.calibration) == 12
    assert report.accuracy == report.area_under_curve == 1.0


def test_a_saved_classifier_scores_the_same_and_its_digest_is_the_files(tmp_path: Path) -> None:
    trained = small_classifier()
    digest = trained.save(tmp_path / "model")
    assert digest == hashlib.sha256((tmp_path / "model/classifier.safetensors").read_bytes()).hexdigest()
    assert json.loads((tmp_path / "model/classifier.json").read_text())["sha256"] == digest
    loaded = Classifier.load(tmp_path / "model")
    texts = [prose(99), noise(99), "", "…"]
    assert loaded.scores(texts).tolist() == trained.scores(texts).tolist()
    assert loaded.config == trained.config
    assert trained.scores([""])[0] == 0.5


def test_the_filter_drops_what_scores_low_and_its_identity_is_the_digest(tmp_path: Path) -> None:
    digest = small_classifier().save(tmp_path)
    config = ClassifierConfig(path=str(tmp_path))
    assert config.sha256 == digest
    (features,) = config.features()
    found = features.compute(to_table([document(prose(1)), document(noise(1))]))
    assert found.schema == features.columns()
    good, bad = found["quality_score"].to_pylist()
    assert good > 0.5 > bad
    assert [(rule.reason, rule.drop_when) for rule in config.rules()] == [
        ("low_quality_score", "quality_score < 0.5")
    ]


def test_another_model_than_the_one_named_is_refused(tmp_path: Path) -> None:
    small_classifier().save(tmp_path)
    with pytest.raises(ConfigError, match="expected 0000"):
        ClassifierFeatures(path=str(tmp_path), sha256="0" * 64).compute(to_table([document("text")]))
    with pytest.raises(ValueError, match=r"/no/model can't be read: No such file"):
        ClassifierConfig(path="/no/model")


@pytest.mark.parametrize("content", [b"", b"\x08\x00\x00\x00\x00\x00\x00\x00{}      ", b"no model at all"])
def test_a_damaged_model_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "classifier.safetensors").write_bytes(content)
    with pytest.raises(DataError, match="can't be read as a quality classifier"):
        Classifier.load(tmp_path)


def test_labelled_texts_are_read_and_a_bad_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "good.jsonl"
    path.write_text('{"text": "one"}\n\n{"text": "two"}\n')
    assert list(labelled_texts(path)) == ["one", "two"]
    path.write_text('{"text": "one"}\n["two"]\n')
    with pytest.raises(DataError, match="byte 16: .* is no labelled text"):
        list(labelled_texts(path))


def test_too_few_texts_are_refused() -> None:
    with pytest.raises(DataError, match="on 4 good and 9 bad texts"):
        train_classifier(["a"] * 4, ["b"] * 9)


def test_a_fasttext_model_scores_by_one_label(shared_data: Path) -> None:
    path = str(shared_data / "models/lid.176.ftz")
    config = ClassifierConfig(path=path, label="en")
    (features,) = config.features()
    english, german = features.compute(
        to_table([document(prose(1)), document("Der Fluss fließt langsam durch das alte Tal.")])
    )["quality_score"].to_pylist()
    assert english > 0.9
    assert german < 0.1
    with pytest.raises(ConfigError, match="has no label 'hq'"):
        ClassifierConfig(path=path).features()[0].compute(to_table([document("text")]))
