"""DataIngestion: the specification's method names, on a dump, a repository and a crawl on disk."""

from __future__ import annotations

import bz2
import gzip
import subprocess
from itertools import islice
from pathlib import Path

import pytest

from towpath.core.errors import ConfigError, DataError
from towpath.data.document import Document
from towpath.data.ingestion import DataIngestion

CRAWL = "CC-MAIN-2024-22"


def mirror(folder: Path, archive: bytes) -> str:
    path = f"crawl-data/{CRAWL}/segments/1.1/warc/a.warc.gz"
    (folder / path).parent.mkdir(parents=True)
    (folder / path).write_bytes(archive)
    (folder / f"crawl-data/{CRAWL}/warc.paths.gz").write_bytes(gzip.compress(path.encode()))
    return f"file://{folder}"


def test_a_segment_of_a_crawl_is_downloaded_and_what_is_damaged_counted(
    shared_data: Path, tmp_path: Path
) -> None:
    archive = (shared_data / "raw/commoncrawl/CC-MAIN-2020-34.sample.warc.gz").read_bytes()[:100_000]
    settings = {
        "crawl": CRAWL,
        "base_url": mirror(tmp_path / "web", archive),
        "cache": str(tmp_path / "cache"),
    }
    ingestion = DataIngestion({"common_crawl": settings})
    documents = list(ingestion.download_common_crawl(["1.1"]))
    assert len(documents) == 10
    assert all(isinstance(document, Document) and document.url for document in documents)
    assert ingestion.rejected == {"truncated_file": 1}
    with pytest.raises(DataError, match="no segment"):
        next(ingestion.download_common_crawl(["9.9"]))


def test_a_wikipedia_dump_is_an_iterator_of_articles(shared_data: Path) -> None:
    dump = shared_data / "raw/wikipedia/enwiki-pages-articles-shortened.xml.bz2"
    articles = list(islice(DataIngestion().process_wikipedia_dump(dump), 3))
    assert articles[0].text.startswith("Anarchism\n\n")
    assert articles[0].url == "https://en.wikipedia.org/wiki/Anarchism"


def test_settings_of_a_source_are_used(tmp_path: Path) -> None:
    page = "<page><title>Lock</title><ns>0</ns><revision><text>A gate.</text></revision></page>"
    (tmp_path / "dump.xml.bz2").write_bytes(bz2.compress(f"<mediawiki>{page}</mediawiki>".encode()))
    ingestion = DataIngestion({"wikipedia": {"name": "wiki-2024", "licence": "CC0-1.0"}})
    [article] = ingestion.process_wikipedia_dump(tmp_path / "dump.xml.bz2")
    assert (article.source, article.licence) == ("wiki-2024", "CC0-1.0")


def test_repositories_are_cloned_and_their_files_documents(tmp_path: Path) -> None:
    repository = tmp_path / "lock"
    repository.mkdir()
    (repository / "gate.py").write_text("def open_gate(level):\n    return level > 0\n" * 10)
    identity = ["-c", "user.name=n", "-c", "user.email=e@example.org"]
    for command in (["init", "-q"], ["add", "gate.py"], [*identity, "commit", "-q", "-m", "gate"]):
        subprocess.run(["git", *command], cwd=repository, check=True, timeout=30)
    ingestion = DataIngestion({"github": {"cache": str(tmp_path / "cache")}})
    documents = list(ingestion.scrape_github_repos([str(repository)]))
    assert ["open_gate" in document.text for document in documents] == [True]


def test_settings_for_a_source_that_it_does_not_read_are_refused() -> None:
    with pytest.raises(ConfigError, match="no 'books'"):
        DataIngestion({"books": {}})
