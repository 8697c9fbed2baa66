"""Real files cut short and with changed bytes, through every source: nothing before the damage is lost."""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path

import pytest

from towpath.core.artifacts import Store
from towpath.core.errors import DataError
from towpath.data import DataConfig, Document, Documents, Rejected, make_documents
from towpath.data.sources import SOURCES

FILES = {
    "arxiv": "raw/arxiv/1911.02782.tar.gz",
    "books": "pretrain/books/austen_northangerabbey.txt",
    "files": "pretrain/web/c4.jsonl",
    "irc": "raw/irc/2004-12-25.train-c.raw.txt",
    "openwebtext2": "raw/pile/openwebtext2_like.jsonl.zst",
    "pdf": "raw/pdf/2020.acl-main.207.pdf",
    "pile": "raw/pile/pile_like.jsonl.zst",
    "pubmed": "raw/pubmed/1471-2180-11-174.nxml",
    "stack_exchange": "raw/stackexchange/beer.Posts.xml.gz",
    "warc": "raw/commoncrawl/CC-MAIN-2020-34.sample.warc.gz",
    "wikipedia": "raw/wikipedia/enwiki-pages-articles-shortened.xml.bz2",
}
RECORDS_APART = ("files", "openwebtext2", "pile", "warc", "wikipedia")
"""Sources whose records stand one after the other, so that those before a cut are what they were."""


def read(kind: str, path: Path) -> list[Document | Rejected] | str:
    """What the source gives, or the text of its error."""
    try:
        return list(SOURCES.load(kind).model_validate({"path": str(path)}).documents())  # pyright: ignore[reportAttributeAccessIssue]
    except DataError as error:
        return str(error)


def texts(items: list[Document | Rejected] | str) -> list[str]:
    return [] if isinstance(items, str) else [item.text for item in items if isinstance(item, Document)]


@pytest.mark.slow
@pytest.mark.parametrize("kind", FILES)
def test_a_file_cut_short_gives_what_came_before_or_an_error_with_its_name(
    kind: str, shared_data: Path, tmp_path: Path
) -> None:
    whole = (shared_data / FILES[kind]).read_bytes()[:1_500_000]
    path = tmp_path / Path(FILES[kind]).name
    path.write_bytes(whole)
    expected = texts(read(kind, path))
    for number in range(6):
        path.write_bytes(whole[: len(whole) * (number + 1) // 7])
        found = read(kind, path)
        if isinstance(found, str):
            assert path.name in found
        elif kind in RECORDS_APART:
            kept = texts(found)
            assert kept[:-1] == expected[: len(kept)][:-1]
            assert any(isinstance(item, Rejected) for item in found) or kept == expected[: len(kept)]


@pytest.mark.slow
@pytest.mark.parametrize("kind", FILES)
def test_changed_bytes_end_in_documents_rejections_or_an_error_with_the_name(
    kind: str, shared_data: Path, tmp_path: Path
) -> None:
    chance = random.Random(kind)
    raw = (shared_data / FILES[kind]).read_bytes()[:1_500_000]
    path = tmp_path / Path(FILES[kind]).name
    for _ in range(4):
        changed = bytearray(raw)
        for _ in range(12):
            changed[chance.randrange(len(changed))] = chance.randrange(256)
        path.write_bytes(changed)
        found = read(kind, path)
        assert not isinstance(found, str) or path.name in found


def test_damaged_files_are_accounted_for_to_the_last_record(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    good = "".join(
        json.dumps({"text": f"sentence number {number} of many " * 20}) + "\n" for number in range(20)
    )
    (folder / "a.jsonl").write_text(good)
    (folder / "b.jsonl").write_text('{"text": "cut\n' + '{"no": "text"}\n' + "[1]\n")
    (folder / "c.jsonl.gz").write_bytes(gzip.compress(good.replace("many", "others").encode())[:-30])
    (folder / "d.txt").write_bytes("Grüße aus München. ".encode("latin-1") * 20)
    config = DataConfig.model_validate(
        {
            "sources": [{"type": "files", "path": str(folder)}],
            "filters": [],
            "near_duplicates": {"enabled": False},
        }
    )
    made = make_documents(Store(tmp_path / "home"), config)
    counted = Documents(made).waterfall()["files"]
    lost = sum(counted["dropped"].values()) + sum(counted["quarantined"].values())
    assert counted["read"] == counted["kept"] + lost
    lines = [json.loads(line) for line in (made.path / "quarantine.jsonl").read_text().splitlines()]
    assert {line["path"] for line in lines} == {"b.jsonl", "c.jsonl.gz", "d.txt"}
    assert len(lines) == sum(counted["quarantined"].values())
    for line in lines:
        assert set(line) >= {"source", "path", "byte_offset", "sha256", "n_bytes", "reason"}
        assert len(line["sha256"]) == 64
