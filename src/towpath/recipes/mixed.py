"""The recipe ``mixed``: raw dumps of many kinds to token shards and a page of statistics."""

from __future__ import annotations

from typing import Any

from towpath.data.config import DataConfig
from towpath.recipes.run_config import RunConfig
from towpath.tokenizer.config import TokenizerConfig

_SOURCES: tuple[dict[str, Any], ...] = (
    {"type": "wikipedia", "path": "dumps/wikipedia", "weight": 3.0},
    {"type": "books", "path": "dumps/books", "licence": "CC0-1.0"},
    {"type": "books", "name": "scanned_books", "path": "dumps/scanned-books", "ocr": True},
    {"type": "literature", "name": "stories", "path": "dumps/stories", "category": "books"},
    {"type": "arxiv", "path": "dumps/arxiv"},
    {"type": "pubmed", "path": "dumps/pubmed"},
    {"type": "pdf", "path": "dumps/pdf"},
    {"type": "stack_exchange", "path": "dumps/stack-exchange"},
    {"type": "irc", "path": "dumps/irc"},
    {"type": "python_stdlib"},
    {"type": "pile", "path": "dumps/pile"},
    {"type": "openwebtext2", "path": "dumps/openwebtext2"},
    {"type": "html", "name": "pages", "path": "dumps/html"},
    {"type": "warc", "name": "common_crawl", "path": "dumps/common-crawl"},
)

_FILTERS: tuple[dict[str, Any], ...] = (
    {"type": "owner_signals"},
    {"type": "length"},
    {"type": "language"},
    # 0.8, as in the paper, takes every fourth article and a third of the papers.
    {"type": "gopher", "min_alphabetic_words": 0.7},
    {"type": "gopher_repetition"},
    {"type": "profanity", "max_count": 5},
    {"type": "code"},
    {"type": "secrets"},
)


def mixed() -> RunConfig:
    """Fourteen sources below dumps/, cleaned, in the specification's composition, up to token shards.

    What lies where: docs/data.md. Curated sources come before crawls, so that of two copies the
    curated one stays.
    """
    data = {
        "sources": _SOURCES,
        "cleaners": [{"type": "mojibake"}, {"type": "pii"}],
        "filters": _FILTERS,
        "mixture": {},
        "validation_share": 0.02,
    }
    return RunConfig(
        name="mixed",
        until="statistics",
        data=DataConfig.model_validate(data),
        tokenizer=TokenizerConfig(vocab_size=8192),
    )
