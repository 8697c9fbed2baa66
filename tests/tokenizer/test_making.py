from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from towpath.core.artifacts import Artifact, Store
from towpath.core.errors import TokenizerError
from towpath.data import DataConfig, Documents, make_documents
from towpath.tokenizer import (
    ByteTokenizer,
    Samples,
    Tokenizer,
    TokenizerConfig,
    TokenShards,
    make_tokenizer,
    make_tokens,
)
from towpath.tokenizer.making import training_texts

from .doubles import CorpusDouble


def story(seed: int) -> str:
    rng = random.Random(seed)
    words = ["".join(rng.choices("abcdefgh", k=rng.randint(2, 7))) for _ in range(30)]
    return " ".join(rng.choices(words, k=120)) + "."


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Store:
    return Store(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def documents(tmp_path_factory, store) -> Artifact:
    sources = []
    for name, first in (("canals", 0), ("boats", 100)):
        folder: Path = tmp_path_factory.mktemp(name)
        for number in range(20):
            (folder / f"{number:02}.txt").write_text(story(first + number))
        sources.append({"type": "files", "name": name, "path": str(folder), "weight": 1.0 + first})
    config = DataConfig.model_validate({"sources": sources, "filters": [], "validation_share": 0.2})
    return make_documents(store, config, "stories")


def test_the_way_from_documents_to_samples(store, documents):
    config = TokenizerConfig(vocab_size=700)
    made = make_tokenizer(store, config, documents, "stories")
    tokenizer = Tokenizer.load(made.path)
    assert tokenizer.vocab_size == 700
    shards = TokenShards(make_tokens(store, config, documents, made, "stories"))
    assert shards.tokenizer_sha256 == tokenizer.sha256
    assert shards.weights == pytest.approx({"canals": 1 / 102, "boats": 101 / 102})
    corpus = Documents(documents)
    for split in ("train", "validation"):
        for source in ("canals", "boats"):
            stream = shards.stream(split, source)
            texts = [document.text for document in corpus.iterate(split, source)]
            assert tokenizer.decode(stream.read(0, stream.n_tokens)) == "".join(
                text + "<|endoftext|>" for text in texts
            )
    samples = Samples(shards, "train", context_tokens=64, seed=0)
    for span in samples.provenance(3):
        split, document, _ = corpus.find(span.document_id)
        assert (split, document.source) == ("train", span.source)
        assert document.text.encode()[slice(*span.bytes)].decode() in tokenizer.decode(samples.ids(3))


def test_the_report_counts_bytes_per_token_on_text_that_was_not_trained_on(store, documents):
    made = make_tokenizer(store, TokenizerConfig(vocab_size=700), documents, "stories")
    report = json.loads((made.path / "report.json").read_text())
    texts = [document.text for document in Documents(documents).iterate("validation", "boats")]
    counted = report["validation"]["boats"]
    assert counted["bytes"] == sum(len(text.encode()) for text in texts)
    assert counted["tokens"] == sum(len(Tokenizer.load(made.path).encode(text)) for text in texts)
    assert counted["bytes_per_token"] == pytest.approx(counted["bytes"] / counted["tokens"], abs=1e-4)
    assert list(report["validation"]) == ["canals", "boats"]
    assert len(report["first_tokens"]) == 24
    assert report["sha256"] == Tokenizer.load(made.path).sha256


def test_settings_of_speed_and_layout_make_no_other_tokenizer(store, documents):
    first = make_tokenizer(store, TokenizerConfig(vocab_size=700), documents, "stories")
    second = make_tokenizer(store, TokenizerConfig(vocab_size=700, threads=1, shard_tokens=9), documents, "x")
    assert first.id == second.id
    assert make_tokenizer(store, TokenizerConfig(vocab_size=701), documents, "x").id != first.id


def test_validation_text_is_not_trained_on():
    corpus = CorpusDouble({"a": ["train " * 9]}, {"a": ["held out " * 9]})
    assert list(training_texts(corpus, None)) == ["train " * 9]


def test_an_existing_tokenizer_is_taken_as_it_is_with_special_tokens_added(store, documents, tmp_path):
    ByteTokenizer().save(tmp_path)
    made = make_tokenizer(store, TokenizerConfig(path=str(tmp_path)), documents, "bytes")
    assert Tokenizer.load(made.path).sha256 == ByteTokenizer().sha256
    (tmp_path / "again").mkdir()
    ByteTokenizer().save(tmp_path / "again")
    again = make_tokenizer(store, TokenizerConfig(path=str(tmp_path / "again")), documents, "bytes")
    assert again.id == made.id


def test_a_corpus_too_small_for_the_vocabulary_is_told(store, documents, caplog):
    made = make_tokenizer(store, TokenizerConfig(vocab_size=40_000), documents, "large")
    size = made.counts["vocab_size"]
    assert size < 40_000
    assert f"The tokenizer has {size} ids, not tokenizer.vocab_size = 40000" in caplog.text


def test_an_existing_tokenizer_that_is_not_there_is_named(store, documents, tmp_path):
    with pytest.raises(TokenizerError, match=f"There is no tokenizer at {tmp_path}/none"):
        make_tokenizer(store, TokenizerConfig(path=str(tmp_path / "none")), documents, "none")


@given(
    sizes=st.lists(st.lists(st.integers(0, 50), min_size=1, max_size=10), min_size=1, max_size=3),
    sample_bytes=st.integers(1, 400),
)
@settings(deadline=None)
def test_a_sample_has_as_many_bytes_as_asked_for_shared_by_weight(sizes, sample_bytes):
    corpus = CorpusDouble({str(place): ["x" * size for size in row] for place, row in enumerate(sizes)})
    weights = corpus.weights()
    total = sum(weights.values())
    expected = [
        min(sum(row), int(sample_bytes * weights[str(place)] / total)) for place, row in enumerate(sizes)
    ]
    assert sum(map(len, training_texts(corpus, sample_bytes))) == sum(expected) <= sample_bytes


def test_a_sample_does_not_depend_on_the_order_of_documents():
    corpus = CorpusDouble({"a": [f"text number {number}" for number in range(50)]})
    chosen = sorted(training_texts(corpus, 200))
    in_order = list(corpus.iterate("train", "a"))
    corpus.iterate = lambda split, source: iter(reversed(in_order))  # type: ignore[method-assign]
    assert sorted(training_texts(corpus, 200)) == chosen
    assert chosen != [document.text for document in in_order[: len(chosen)]]


def test_a_document_cut_by_the_sample_is_cut_between_characters():
    corpus = CorpusDouble({"a": ["é" * 10]})
    assert list(training_texts(corpus, 5)) == ["éé"]
