from __future__ import annotations

import gzip
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from towpath.core.errors import ConfigError
from towpath.core.texts import Texts
from towpath.data.fasttext_model import FastTextModel, fnv, huffman_tree
from towpath.data.features.language import LanguageFeatures, detect_language, language_predictor
from towpath.data.kernels.language_id import LabelPredictor, two_windows

WORDS = ("</s>", "the", "river", "boat", "Größe", "日本")
LABELS = ("__label__good", "__label__bad", "__label__odd")


def column(texts: list[str]) -> Texts:
    return Texts.of(pa.array(texts, pa.large_string()))


def model_file(loss: int, *, low: int = 2, high: int = 3, word_ngrams: int = 2) -> bytes:
    """A small dense model with random weights, in fastText's layout."""
    dimensions, buckets, random = 5, 40, np.random.default_rng(loss)
    settings = (dimensions, 5, 1, 1, 5, word_ngrams, loss, 3, buckets, low, high, 100)
    parts = [struct.pack("<ii12id", 793_712_314, 12, *settings, 1e-4)]
    names = [*WORDS, *LABELS]
    parts.append(struct.pack("<iiiqq", len(names), len(WORDS), len(LABELS), 100, -1))
    for number, name in enumerate(names):
        parts.append(name.encode() + b"\0" + struct.pack("<qb", 90 - 10 * number, number >= len(WORDS)))
    for rows in (len(WORDS) + buckets, len(LABELS)):
        matrix = random.normal(size=(rows, dimensions)).astype("<f4")
        parts.append(struct.pack("<?qq", False, rows, dimensions) + matrix.tobytes())
    return b"".join(parts)


def real_texts(shared_data: Path) -> list[str]:
    texts = [json.loads(line)["text"] for line in (shared_data / "pretrain/web/c4.jsonl").open()]
    texts += (shared_data / "pretrain/encyclopedia/wikipedia_text.txt").read_text().split("\n")
    texts += (shared_data / "raw/pile/blns.txt").read_text().split("\n")
    with gzip.open(shared_data / "pretrain/mixed/masc.jsonl.gz", "rt") as file:
        texts += [json.loads(line)["text"] for line in file]
    page = b"".join((shared_data / "raw/web_html/ground_truth.json").read_bytes().splitlines())
    return texts + [found["articleBody"] for found in json.loads(page).values()]


def peer(path: Path) -> Any:
    return pytest.importorskip("fasttext").load_model(str(path))


def test_languages_are_those_of_fasttext(shared_data: Path) -> None:
    path = shared_data / "models/lid.176.ftz"
    texts = real_texts(shared_data)
    predictor, theirs = LabelPredictor(FastTextModel.read(path)), peer(path)
    best, scores = predictor.best(column(texts), 1_000)
    same = 0
    for text, label, score in zip(texts, best, scores, strict=True):
        names, probabilities = theirs.predict(two_windows(text, 1_000).replace("\n", " "), k=1)
        same += names[0] == f"__label__{predictor.labels[label]}" and abs(probabilities[0] - score) < 1e-3
    assert same >= 0.999 * len(texts)


def test_the_kernel_predicts_as_its_python_does(shared_data: Path) -> None:
    predictor = language_predictor(None)
    texts = [*real_texts(shared_data)[::40], "", " ", "</s> x", "__label__en y", "привет мир", "你好 世界"]
    every = predictor.probabilities(column(texts), 1_000)
    best, scores = predictor.best(column(texts), 1_000)
    for i, text in enumerate(texts):
        reference = predictor.model.probabilities(two_windows(text, 1_000).encode())
        assert reference is not None
        np.testing.assert_allclose(every[i], reference, rtol=1e-4, atol=1e-6)
        assert best[i] == every[i].argmax()
        assert scores[i] == pytest.approx(every[i].max(), abs=1e-9)


@pytest.mark.parametrize("loss", [1, 3, 4])
@pytest.mark.parametrize("high", [0, 3])
def test_dense_models_of_every_loss_agree_with_fasttext(tmp_path: Path, loss: int, high: int) -> None:
    path = tmp_path / "model.bin"
    path.write_bytes(model_file(loss, low=2 if high else 0, high=high))
    predictor, theirs = LabelPredictor(FastTextModel.read(path)), peer(path)
    texts = ["the river boat", "unseen words of Größe", "日本 the the", "x", "a river\tboat"]
    every = predictor.probabilities(column(texts))
    # For one against all fastText reads the sigmoid from a table with steps of 1/32, at most 1/4 steep.
    tolerance = 1 / 128 if loss == 4 else 1e-4
    for text, row in zip(texts, every, strict=True):
        names, probabilities = theirs.predict(text, k=3)
        expected = dict(zip(names, probabilities, strict=True))
        for label, probability in zip(LABELS, row, strict=True):
            assert expected[label] == pytest.approx(probability, abs=tolerance)
        reference = predictor.model.probabilities(text.encode())
        assert reference is not None
        np.testing.assert_allclose(row, reference, rtol=1e-4)


@pytest.mark.parametrize("size", [0, 3, 60, 90, 200, -1, -60])
def test_a_model_that_was_cut_short_is_refused(tmp_path: Path, size: int) -> None:
    path = tmp_path / "cut.bin"
    path.write_bytes(model_file(3)[:size] if size else b"")
    with pytest.raises(ConfigError, match=r"cut\.bin is no whole fastText model: .*\(at byte"):
        FastTextModel.read(path)


def test_files_that_are_no_label_models_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.bin"
    whole = model_file(3)
    with pytest.raises(ConfigError, match=r"m\.bin is not a file"):
        FastTextModel.read(path)
    path.write_bytes(b"PK" + whole[2:])
    with pytest.raises(ConfigError, match="it does not start as one of version 12 does"):
        FastTextModel.read(path)
    path.write_bytes(whole[:36] + struct.pack("<i", 1) + whole[40:])
    with pytest.raises(ConfigError, match="it was trained for word vectors"):
        FastTextModel.read(path)


@given(st.integers(0, 300), st.integers(0, 255))
@settings(max_examples=50, deadline=None)
def test_a_changed_byte_is_refused_or_read(
    tmp_path_factory: pytest.TempPathFactory, place: int, byte: int
) -> None:
    changed = bytearray(model_file(3))
    changed[place] = byte
    path = tmp_path_factory.getbasetemp() / "changed.bin"
    path.write_bytes(changed)
    try:
        predictor = LabelPredictor(FastTextModel.read(path))
    except ConfigError:
        return
    best, _ = predictor.best(column(["the river boat and more"]))
    assert -1 <= best[0] < len(predictor.labels)


@given(st.binary(max_size=60))
@settings(max_examples=50, deadline=None)
def test_any_bytes_have_a_language(text: bytes) -> None:
    texts = Texts.of(pa.array([text], pa.large_binary()).view(pa.large_string()))
    for window in (0, 3):
        best, scores = language_predictor(None).best(texts, window)
        assert 0 <= best[0] < 176
        assert 0 <= scores[0] <= 1.001


def test_windows_of_the_kernel_are_those_of_its_python() -> None:
    predictor = language_predictor(None)
    texts = ["ä" * n + " the river " + "b" * n for n in range(40)]
    best, scores = predictor.best(column(texts), 10)
    whole, whole_scores = predictor.best(column([two_windows(text, 10) for text in texts]))
    assert best.tolist() == whole.tolist()
    assert scores.tolist() == whole_scores.tolist()


def test_features_name_languages(tmp_path: Path) -> None:
    texts = pa.table(
        {"text": pa.array(["The boats lie in the river.", "Der Fluss ist ruhig.", None], pa.large_string())}
    )
    found = LanguageFeatures().compute(texts)
    assert found.schema == LanguageFeatures().columns()
    assert found["language"].to_pylist()[:2] == ["en", "de"]
    assert detect_language("Le bateau est sur la rivière.")[0] == "fr"
    path = tmp_path / "own.bin"
    path.write_bytes(model_file(3))
    own = LanguageFeatures(model_path=str(path)).compute(texts)["language"].to_pylist()
    assert set(own) <= {"good", "bad", "odd"}


def test_hashes_and_trees_are_fasttexts() -> None:
    assert fnv(b"") == 2_166_136_261
    assert fnv("é".encode()) != fnv(b"e")
    assert huffman_tree(np.array([5, 2, 1])).tolist() == [[2, 1], [3, 0]]
    assert huffman_tree(np.array([7])).shape == (0, 2)
