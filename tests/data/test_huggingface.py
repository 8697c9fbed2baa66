from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from towpath.core.errors import DataError, MissingPackageError
from towpath.core.files import sha256_of
from towpath.data.document import Document, Message, Rejected
from towpath.data.sources.huggingface import HuggingfaceSource

datasets = pytest.importorskip("datasets")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)


def read(folder: Path | str, **fields: Any) -> list[Document | Rejected]:
    return list(HuggingfaceSource(dataset=str(folder), **fields).documents())


ROWS = {"text": ["one", None, "three"], "url": ["http://a", None, "http://c"], "stars": [1, 2, 3]}


def test_a_dataset_saved_on_disk_is_read_by_split(tmp_path: Path) -> None:
    saved = datasets.DatasetDict(
        {"train": datasets.Dataset.from_dict(ROWS), "test": datasets.Dataset.from_dict({"text": ["t"]})}
    )
    saved.save_to_disk(str(tmp_path / "set"))
    one, none, three = read(tmp_path / "set", meta_fields=("stars",))
    assert isinstance(one, Document)
    assert (one.text, one.url, one.path, one.meta) == ("one", "http://a", "set#0", {"stars": 1})
    assert isinstance(none, Rejected)
    assert none.reason == "no_text"
    assert isinstance(three, Document)
    assert three.path == "set#2"
    assert len(read(tmp_path / "set", split="test")) == 1
    with pytest.raises(DataError, match=r"no split 'tran'\. Did you mean 'train'\? It has: train, test"):
        read(tmp_path / "set", split="tran")
    with pytest.raises(DataError, match=r"no column 'body'; it has: text, url, stars"):
        read(tmp_path / "set", text_field="body", messages_field=None)


@pytest.mark.slow  # the package imports for seconds what it reads files with
def test_a_folder_of_parquet_files_is_read_in_the_order_of_their_names(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    pq.write_table(pa.table({"text": ["b"]}), folder / "b.parquet")
    pq.write_table(pa.table({"text": ["a"]}), folder / "a.parquet")
    found = read(folder)
    assert [item.text for item in found if isinstance(item, Document)] == ["a", "b"]
    before = HuggingfaceSource(dataset=str(folder)).fingerprint(sha256_of)
    (folder / "b.parquet").rename(folder / "c.parquet")
    assert HuggingfaceSource(dataset=str(folder)).fingerprint(sha256_of) != before


def test_chats_are_read_from_their_column(tmp_path: Path) -> None:
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
    datasets.Dataset.from_dict({"conversation": [turns]}).save_to_disk(str(tmp_path / "set"))
    (chat,) = read(tmp_path / "set", messages_field="conversation")
    assert isinstance(chat, Document)
    assert chat.messages == (Message("user", "Hi"), Message("assistant", "Hello"))


def test_what_can_not_be_loaded_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        DataError, match=r"'nobody/nothing' \(split 'train'\) can't be loaded: .* hub, which must be"
    ):
        read("nobody/nothing")
    (tmp_path / "set").mkdir()
    with pytest.raises(DataError, match="holds no dataset: .* found none of them"):
        read(tmp_path / "set")
    (tmp_path / "set" / "a.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(DataError, match="can't be"):
        read(tmp_path / "set")
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingPackageError, match=r"pip install \"towpath\[datasets\]\""):
        read("nobody/nothing")
