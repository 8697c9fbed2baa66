from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from towpath.core.artifacts import Draft, Store
from towpath.core.errors import ArtifactError, TokenizerError
from towpath.core.files import content_files, sha256_of
from towpath.tokenizer import ByteTokenizer, Tokenizer, TokenizerConfig, TokenShards, train_tokenizer
from towpath.tokenizer.shards import dtype_for
from towpath.tokenizer.writing import write_shards

from .doubles import SENTENCES, CorpusDouble, artifact_of, shards_of, texts

CORPUS = CorpusDouble(
    train={"prose": SENTENCES * 5, "code": [SENTENCES[2]] * 4},
    validation={"prose": SENTENCES[:2]},
)


def digests(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): sha256_of(path) for path in content_files(folder)}


@given(documents=st.lists(texts(), min_size=1, max_size=8), shard_tokens=st.integers(1, 400))
@settings(max_examples=15, deadline=None)
def test_packing_loses_no_token(tmp_path_factory, tokenizer, documents, shard_tokens):
    shards = shards_of(tmp_path_factory.mktemp("h"), CorpusDouble({"a": documents}), tokenizer, shard_tokens)
    stream = shards.stream("train", "a")
    expected = [number for text in documents for number in [*tokenizer.encode(text), tokenizer.end_of_text]]
    assert stream.read(0, stream.n_tokens).tolist() == expected
    assert stream.n_documents == len(documents)
    assert stream.n_bytes == sum(len(text.encode()) for text in documents)
    middle = len(expected) // 2
    assert stream.read(middle // 2, middle).tolist() == expected[middle // 2 : middle]


def test_any_token_leads_to_its_document(tmp_path):
    stream = shards_of(tmp_path, CORPUS, shard_tokens=100).stream("train", "prose")
    start = 0
    for ordinal, text in enumerate(SENTENCES * 5):
        stop = start + len(text.encode()) + 1
        assert stream.document_range(ordinal) == (start, stop)
        for token in (start, (start + stop) // 2, stop - 1):
            assert stream.document_at(token) == (ordinal, f"train-prose-{ordinal}", start)
        start = stop
    assert start == stream.n_tokens


def test_the_files_are_what_their_description_says(tmp_path):
    artifact = artifact_of(tmp_path, CORPUS, shard_tokens=10**6)
    stem = artifact.path / "train/code/shard-00000"
    size = len(SENTENCES[2].encode())
    ids = np.fromfile(f"{stem}.bin", "<u2")
    assert bytes(ids[:size].astype(np.uint8)) == SENTENCES[2].encode()
    assert ids[size] == 256
    assert np.fromfile(f"{stem}.index", "<u8").tolist() == [(size + 1) * place for place in range(5)]
    rows = pyarrow.parquet.read_table(f"{stem}.parquet").to_pylist()
    assert rows[1] == {"id": "train-code-1", "tokens": size, "bytes": size}
    assert artifact.counts["train"]["documents"] == 29


def test_opened_shards_know_their_sources_weights_and_tokenizer(tmp_path, tokenizer):
    shards = shards_of(tmp_path, CORPUS, tokenizer)
    assert shards.sources("train") == ["prose", "code"]
    assert shards.sources("validation") == ["prose"]
    assert shards.weights == {"prose": 1.0, "code": 2.0}
    assert shards.tokenizer_sha256 == tokenizer.sha256 == shards.tokenizer.sha256
    assert shards.vocab_size == tokenizer.vocab_size


def test_ids_take_two_bytes_up_to_65536_ids_and_four_beyond():
    assert dtype_for(65_536) == np.dtype("<u2")
    assert dtype_for(65_537) == np.dtype("<u4")


def test_a_large_vocabulary_is_stored_in_four_bytes(tmp_path):
    large = ByteTokenizer().with_special_tokens([f"<|{number}|>" for number in range(65_300)])
    shards = shards_of(tmp_path, CorpusDouble({"a": ["text"]}), large)
    assert shards.dtype == np.dtype("<u4")
    assert shards.stream("train", "a").read(0, 5).tolist() == [*b"text", 256]


def test_neither_threads_nor_chance_change_a_byte(tmp_path, tokenizer):
    written = []
    for place, threads in enumerate((1, 4, 4)):
        draft = Draft(tmp_path / str(place))
        draft.path.mkdir()
        write_shards(draft, CORPUS, tokenizer, TokenizerConfig(shard_tokens=60, threads=threads))
        written.append(digests(draft.path))
    assert written[0] == written[1] == written[2]


class Killed(BaseException):
    """Stands for a kill at the point where it is raised."""


@pytest.mark.parametrize("after", range(0, 10, 3))
def test_an_attempt_that_was_broken_off_goes_on_and_ends_with_the_same_bytes(tmp_path, tokenizer, after):
    whole = artifact_of(tmp_path / "whole", CORPUS, tokenizer, shard_tokens=60)
    marked = []

    def stop_after_some(draft: Draft) -> None:
        real = draft.mark_done

        def mark_done(part: str) -> None:
            if len(marked) == after:  # the shard's files are there, and it is not marked yet
                raise Killed
            real(part)
            marked.append(part)

        draft.mark_done = mark_done  # type: ignore[method-assign]
        write_shards(draft, CORPUS, tokenizer, TokenizerConfig(shard_tokens=60))

    store = Store(tmp_path / "broken")
    with pytest.raises(Killed):
        store.make("tokens", "double", {}, [], stop_after_some)
    again = artifact_of(tmp_path / "broken", CORPUS, tokenizer, shard_tokens=60)
    assert digests(again.path) == digests(whole.path)
    assert again.id == whole.id


def test_finished_shards_are_not_encoded_again(tmp_path):
    draft = Draft(tmp_path)
    config = TokenizerConfig(shard_tokens=300)
    write_shards(draft, CORPUS, ByteTokenizer(), config)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.bin")}
    write_shards(draft, CORPUS, ByteTokenizer(), config)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.bin")} == before
    assert len(before) > 5


def test_an_attempt_with_another_shard_size_leaves_nothing_of_unfinished_shards(tmp_path):
    draft = Draft(tmp_path)
    write_shards(draft, CORPUS, ByteTokenizer(), TokenizerConfig(shard_tokens=300))
    for part in (tmp_path / "done").iterdir():
        if part.name not in ("train.prose.shard-00000", "train.prose.shard-00001"):
            part.unlink()
    write_shards(draft, CORPUS, ByteTokenizer(), TokenizerConfig(shard_tokens=10**6))
    summary = json.loads((tmp_path / "shards.json").read_text())
    assert summary["streams"]["train"]["prose"]["documents"] == 25
    assert len(list(tmp_path.rglob("*.bin"))) == 2 + 1 + 1 + 1


@pytest.mark.slow
def test_sigkill_at_any_moment_leaves_what_the_next_attempt_finishes_the_same(tmp_path, tokenizer):
    tokenizer.save(tmp_path)
    code = (
        "import sys; from pathlib import Path;"
        "from tests_tokenizer_doubles import *; from towpath.tokenizer import Tokenizer;"
        "corpus = CorpusDouble({'a': SENTENCES * 200, 'b': SENTENCES * 100}, {'a': SENTENCES});"
        "print('ready', flush=True);"
        "artifact_of(Path(sys.argv[1]), corpus, Tokenizer.load(sys.argv[2]), 300)"
    )
    source = Path(__file__).with_name("doubles.py").read_text()
    (tmp_path / "tests_tokenizer_doubles.py").write_text(source)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}

    def attempt(home: Path, seconds: float | None) -> int:
        command = [sys.executable, "-c", code, str(home), str(tmp_path)]
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            try:
                return process.wait(seconds)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                return process.wait()

    assert attempt(tmp_path / "whole", None) == 0
    kills = 0
    for number in range(20):
        kills += attempt(tmp_path / "killed", 0.03 + 0.02 * number) == -signal.SIGKILL
    assert attempt(tmp_path / "killed", None) == 0
    assert kills >= 1
    (whole,), (killed,) = (
        list((tmp_path / name / "artifacts/tokens").iterdir()) for name in ("whole", "killed")
    )
    assert digests(killed) == digests(whole)


def test_an_id_beyond_the_vocabulary_is_refused_when_written(tmp_path, monkeypatch):
    tokenizer = ByteTokenizer()
    bad = [np.array([65, 300], np.uint32)]
    monkeypatch.setattr(tokenizer, "encode_batch", lambda texts, threads: bad)
    with pytest.raises(TokenizerError, match="train/a, document train-a-0: token 1 is id 300, and the token"):
        shards_of(tmp_path, CorpusDouble({"a": ["ab"]}), tokenizer)


def test_an_id_beyond_the_vocabulary_is_refused_when_read_and_its_place_is_named(tmp_path):
    shards = shards_of(tmp_path, CORPUS)
    path = shards.path / "train/prose/shard-00001.bin"
    first = path.with_name("shard-00000.bin").stat().st_size // 2
    ids = np.fromfile(path, "<u2")
    ids[3] = 999
    ids.tofile(path)
    stream = TokenShards(Store(tmp_path)._open_folder(shards.path, check=False)).stream("train", "prose")
    place = stream.document_at(first + 3)
    with pytest.raises(ArtifactError) as caught:
        stream.read(0, first + 10)
    assert "shard-00001.bin: token 3" in str(caught.value)
    assert f"document {place.document_id}" in str(caught.value)
    assert "is id 999, and the tokenizer has 262 ids" in str(caught.value)


@pytest.mark.parametrize("name", ["shard-00000.bin", "shard-00000.index", "shard-00000.parquet"])
def test_a_flipped_bit_is_found_and_the_file_named(tmp_path, name):
    artifact = artifact_of(tmp_path, CORPUS)
    path = artifact.path / "train/prose" / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)
    with pytest.raises(ArtifactError, match=rf"train/prose/{name} is damaged"):
        Store(tmp_path).open(artifact.path)


def test_reading_outside_a_stream_is_refused(tmp_path):
    stream = shards_of(tmp_path, CORPUS).stream("train", "code")
    for start, stop in ((-1, 2), (0, stream.n_tokens + 1), (3, 2)):
        with pytest.raises(IndexError, match="are not inside"):
            stream.read(start, stop)
    with pytest.raises(IndexError):
        stream.document_at(stream.n_tokens)
    with pytest.raises(IndexError):
        stream.document_range(4)


def test_an_unknown_source_is_named_with_the_nearest(tmp_path):
    shards = shards_of(tmp_path, CORPUS)
    with pytest.raises(TokenizerError, match="no source 'prosa' in the split 'train'. Did you mean 'prose'?"):
        shards.stream("train", "prosa")
    with pytest.raises(TokenizerError, match="There are: prose"):
        shards.stream("validation", "code")


def test_only_token_shards_are_opened(tmp_path, tokenizer):
    other = Store(tmp_path).make("tokenizer", "x", {}, [], lambda draft: tokenizer.save(draft.path) and None)
    with pytest.raises(ArtifactError, match="is a tokenizer; tokens are needed here"):
        TokenShards(other)


def test_an_empty_document_is_one_end_of_text(tmp_path):
    stream = shards_of(tmp_path, CorpusDouble({"a": ["", "b", ""]}), shard_tokens=1).stream("train", "a")
    assert stream.read(0, 4).tolist() == [256, ord("b"), 256, 256]
    assert [stream.document_at(token).ordinal for token in range(4)] == [0, 1, 1, 2]


def test_the_copy_of_the_tokenizer_among_the_shards_decodes_them(tmp_path):
    shards = shards_of(tmp_path, CORPUS, train_tokenizer(SENTENCES, 300))
    stream = shards.stream("train", "code")
    assert Tokenizer.load(shards.path).decode(stream.read(0, stream.document_range(0)[1] - 1)) == SENTENCES[2]
