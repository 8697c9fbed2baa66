"""Make a tokenizer artifact: train on the training split, or take an existing file, and report.

Comes in: an artifact of documents. Goes out: an artifact of kind "tokenizer" with tokenizer.json and
report.json (size, first tokens, bytes per token of each source's validation documents, which the
tokenizer never saw).
"""

from __future__ import annotations

import hashlib
import heapq
import logging
from collections.abc import Iterator, Mapping
from typing import Any

from towpath.core.artifacts import Artifact, Draft, Store
from towpath.core.config import identity
from towpath.core.files import readable_json, write_durably
from towpath.core.progress import Progress, progress
from towpath.tokenizer.config import TokenizerConfig
from towpath.tokenizer.tokenizer import Tokenizer, train_tokenizer
from towpath.tokenizer.writing import Corpus, batches

KIND = "tokenizer"
REPORT_FILE = "report.json"

_SHOWN_TOKENS = 24

_log = logging.getLogger(__name__)


def make_tokenizer(store: Store, config: TokenizerConfig, documents: Artifact, name: str) -> Artifact:
    """The tokenizer that ``config`` describes, trained on ``documents``, as an artifact.

    Raises:
        TokenizerError: there is no text to train on, or the file that ``config.path`` names is none.
    """
    from towpath.data import Documents

    existing = None if config.path is None else Tokenizer.load(config.path).with_special_tokens()
    meaning = identity(config) if existing is None else {"sha256": existing.sha256}

    def write(draft: Draft) -> None:
        corpus = Documents(documents)
        draft.licences = list(documents.licences) if existing is None else []
        tokenizer = existing or _train(corpus, config)
        report = report_on(tokenizer, corpus, config)
        tokenizer.save(draft.path)
        write_durably(draft.path / REPORT_FILE, readable_json(report))
        draft.counts = {"vocab_size": tokenizer.vocab_size}

    return store.make(KIND, name, meaning, [documents], write)


def _train(corpus: Corpus, config: TokenizerConfig) -> Tokenizer:
    with progress("reading text to train the tokenizer on", unit="bytes") as bar:
        tokenizer = train_tokenizer(
            _counted(training_texts(corpus, config.sample_bytes), bar),
            config.vocab_size,
            max_token_bytes=config.max_token_bytes,
        )
    if tokenizer.vocab_size < config.vocab_size:
        _log.warning(
            "The tokenizer has %d ids, not tokenizer.vocab_size = %d: no further pair of tokens occurs "
            "twice in its text. More text gives more.",
            tokenizer.vocab_size,
            config.vocab_size,
        )
    return tokenizer


def training_texts(corpus: Corpus, sample_bytes: int | None) -> Iterator[str]:
    """Texts of the training split, at most ``sample_bytes`` of UTF-8 in all, shared by weight.

    A source with less text than its share gives all of it. Which documents are taken depends on
    their ids alone; the last one may be cut.
    """
    weights = corpus.weights()
    total = sum(weights[source] for source in corpus.sources("train"))
    for source in corpus.sources("train"):
        if sample_bytes is None:
            yield from (document.text for document in corpus.iterate("train", source))
        else:
            yield from _sample(corpus, source, int(sample_bytes * weights[source] / total))


def _sample(corpus: Corpus, source: str, budget_bytes: int) -> Iterator[str]:
    allowed = _chosen(corpus, source, budget_bytes)
    for document in corpus.iterate("train", source):
        size = allowed.get(_draw(document.id), 0)
        if size:
            yield document.text.encode()[:size].decode(errors="ignore")


def _chosen(corpus: Corpus, source: str, budget_bytes: int) -> dict[int, int]:
    """The documents with the smallest draws that fill ``budget_bytes``: draw to bytes allowed."""
    largest_first: list[tuple[int, int]] = []
    total = 0
    for document in corpus.iterate("train", source):
        size = len(document.text.encode())
        heapq.heappush(largest_first, (-_draw(document.id), size))
        total += size
        while total - largest_first[0][1] >= budget_bytes:
            total -= heapq.heappop(largest_first)[1]
            if not largest_first:
                return {}
    allowed = {-draw: size for draw, size in largest_first}
    if largest_first and total > budget_bytes:
        draw, size = largest_first[0]
        allowed[-draw] = size - (total - budget_bytes)
    return allowed


def _draw(document_id: str) -> int:
    return int.from_bytes(hashlib.blake2b(document_id.encode(), digest_size=8).digest())


def _counted(texts: Iterator[str], bar: Progress) -> Iterator[str]:
    for text in texts:
        yield text
        bar.advance(len(text.encode()))


def report_on(tokenizer: Tokenizer, corpus: Corpus, config: TokenizerConfig) -> dict[str, Any]:
    """What there is to say about ``tokenizer``, as plain JSON types."""
    first = range(256, min(256 + _SHOWN_TOKENS, tokenizer.vocab_size))
    return {
        "vocab_size": tokenizer.vocab_size,
        "sha256": tokenizer.sha256,
        "special_tokens": tokenizer.special,
        "first_tokens": [tokenizer.token_bytes(number).decode(errors="replace") for number in first],
        "validation": {
            source: _compression(tokenizer, corpus, source, config.threads)
            for source in corpus.sources("validation")
        },
    }


def _compression(tokenizer: Tokenizer, corpus: Corpus, source: str, threads: int) -> Mapping[str, float]:
    size_bytes = tokens = 0
    for batch in batches(corpus.iterate("validation", source)):
        texts = [document.text for document in batch]
        size_bytes += sum(len(text.encode()) for text in texts)
        tokens += sum(len(ids) for ids in tokenizer.encode_batch(texts, threads))
    return {"bytes": size_bytes, "tokens": tokens, "bytes_per_token": round(size_bytes / max(tokens, 1), 4)}
