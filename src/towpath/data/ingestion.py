"""DataIngestion: the sources under the method names of the project's specification.

Each method is an iterator of documents. What can't be a document is counted by reason in
``rejected`` and logged; run files reach the same sources by their types ``common_crawl``,
``wikipedia`` and ``github``, with resume, filters and deduplication on top.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from towpath.core.errors import ConfigError
from towpath.data.document import Document, Rejected
from towpath.data.sources import SOURCES, Source

_log = logging.getLogger(__name__)


class DataIngestion:
    """Documents from crawls, dumps and repositories."""

    def __init__(self, source_config: Mapping[str, Any] | None = None) -> None:
        """``source_config`` gives the settings of each kind of source under its type, for example
        ``{"common_crawl": {"crawl": "CC-MAIN-2024-22", "keep": "wet"}}``.

        Raises:
            ConfigError: it names a type that no method here reads.
        """
        self.source_config = dict(source_config or {})
        self.rejected: Counter[str] = Counter()
        """Records that can't be documents, by reason, over all calls."""
        unknown = sorted(set(self.source_config) - {"common_crawl", "wikipedia", "github"})
        if unknown:
            raise ConfigError(
                f"source_config has no {unknown[0]!r}. Expected common_crawl, wikipedia and github; "
                "other sources are read by a run file."
            )

    def download_common_crawl(self, segments: Sequence[str]) -> Iterator[Document]:
        """Pages of ``segments`` of the crawl that ``source_config`` names, file after file as they arrive.

        Raises:
            DataError: a segment doesn't exist or a file can't be downloaded.
        """
        return self._documents("common_crawl", segments=tuple(segments))

    def process_wikipedia_dump(self, dump_path: str | Path) -> Iterator[Document]:
        """Articles of the dump ``dump_path`` (pages-articles .xml.bz2 or .xml).

        Raises:
            DataError: it can't be read.
        """
        return self._documents("wikipedia", path=str(dump_path))

    def scrape_github_repos(self, repo_list: Sequence[str]) -> Iterator[Document]:
        """Source files of the repositories in ``repo_list``, addresses that git can clone.

        Raises:
            DataError: one can't be cloned.
        """
        return self._documents("github", repositories=tuple(repo_list))

    def _documents(self, kind: str, **given: Any) -> Iterator[Document]:
        source = cast(type[Source], SOURCES.load(kind))(**{**self.source_config.get(kind, {}), **given})
        for item in source.documents():
            if isinstance(item, Rejected):
                self.rejected[item.reason] += 1
                found = item.document
                _log.info("%s: %s at byte %s: %s", kind, found.path, found.byte_offset, item.reason)
            else:
                yield item
