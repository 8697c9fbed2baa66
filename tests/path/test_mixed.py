"""The recipe ``mixed`` on real dumps of thirteen kinds: to token shards and a page of statistics."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from towpath.cli import main
from towpath.tokenizer import TokenShards

PLACES = {
    "wikipedia": "raw/wikipedia",
    "books": "pretrain/books",
    "scanned-books": "raw/ocr/northanger_abbey.ocr.txt",
    "stories": "pretrain/stories",
    "arxiv": "raw/arxiv",
    "pubmed": "raw/pubmed",
    "pdf": "raw/pdf",
    "stack-exchange": "raw/stackexchange/beer.Posts.xml.gz",
    "irc": "raw/irc",
    "pile": "raw/pile/pile_like.jsonl.zst",
    "openwebtext2": "raw/pile/openwebtext2_like.jsonl.zst",
    "html": "raw/web_html",
    "common-crawl": "raw/commoncrawl",
}


@pytest.fixture
def dumps(shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, place in PLACES.items():
        folder = tmp_path / "dumps" / name
        source = shared_data / place
        if source.is_dir():
            shutil.copytree(source, folder)
        else:
            folder.mkdir(parents=True)
            shutil.copy(source, folder)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TOWPATH_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.mark.slow
def test_fourteen_sources_end_in_shards_and_a_page(dumps: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "mixed", "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert list(made) == ["data", "tokenizer", "tokens", "statistics"]
    facts = json.loads((Path(made["statistics"]["path"]) / "statistics.json").read_bytes())
    kept = {source["type"] for source in facts["sources"].values() if source["documents"]}
    assert len(kept) >= 12, kept
    assert facts["composition"]["absent"] == []
    shards = TokenShards(next(item for item in _artifacts(dumps, "tokens")))
    assert sum(shards.stream("train", source).n_tokens for source in shards.sources("train")) > 4_000_000
    page = (Path(made["statistics"]["path"]) / "statistics.html").read_text()
    assert all(name in page for name in facts["sources"])
    assert main(["run", "mixed", "--json"]) == 0  # and again: everything is found
    assert json.loads(capsys.readouterr().out) == made


def _artifacts(home: Path, kind: str):
    from towpath.core.artifacts import Store

    return Store(home).all(kind)
