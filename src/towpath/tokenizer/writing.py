"""Encode a corpus into TokenShards, shard by shard, so that a killed attempt goes on where it was.

Comes in: an artifact of documents and one of a tokenizer. Goes out: an artifact of kind "tokens"
(layout: see ``shards``). A finished shard is flushed and marked; the next attempt counts the
documents in finished shards, skips as many, and writes the same bytes as one that was never killed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from towpath.core.artifacts import Artifact, Draft, Store
from towpath.core.errors import TokenizerError
from towpath.core.files import readable_json, write_durably
from towpath.core.progress import Progress, progress
from towpath.tokenizer.config import TokenizerConfig
from towpath.tokenizer.shards import INDEX_DTYPE, KIND, LAYOUT, SUMMARY_FILE, dtype_for, first_beyond
from towpath.tokenizer.tokenizer import Tokenizer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from towpath.data import Document

SPLITS = ("train", "validation")

_BATCH_CHARACTERS = 4_000_000
"""Texts held at a time while they are encoded."""


class Corpus(Protocol):
    """What is needed of ``towpath.data.Documents``."""

    def sources(self, split: str) -> list[str]:
        """Names of the sources that have documents in ``split``."""
        ...

    def weights(self) -> Mapping[str, float]:
        """Relative share of each source in training."""
        ...

    def iterate(self, split: str, source: str) -> Iterator[Document]:
        """The documents of one source in reading order."""
        ...


def make_tokens(
    store: Store, config: TokenizerConfig, documents: Artifact, tokenizer: Artifact, name: str
) -> Artifact:
    """The token ids of every document of both splits, as an artifact of kind "tokens".

    Raises:
        TokenizerError: the tokenizer gives an id that its vocabulary lacks; names the document.
    """
    from towpath.data import Documents

    def write(draft: Draft) -> None:
        draft.licences = list(documents.licences)
        write_shards(draft, Documents(documents), Tokenizer.load(tokenizer.path), config)

    return store.make(KIND, name, {"layout": LAYOUT}, [documents, tokenizer], write)


def write_shards(draft: Draft, corpus: Corpus, tokenizer: Tokenizer, config: TokenizerConfig) -> None:
    """Fill ``draft`` with the shards of ``corpus`` and their summary."""
    dtype = dtype_for(tokenizer.vocab_size)
    streams: dict[str, dict[str, Any]] = {}
    with progress("encoding", unit="documents") as bar:
        for split in SPLITS:
            streams[split] = {}
            for source in corpus.sources(split):
                writer = _StreamWriter(draft, split, source, tokenizer, config)
                writer.write(corpus.iterate(split, source), bar)
                streams[split][source] = stream_facts(writer.folder, dtype)
    tokenizer.save(draft.path)
    summary = {
        "layout": LAYOUT,
        "dtype": dtype.str,
        "vocab_size": tokenizer.vocab_size,
        "tokenizer_sha256": tokenizer.sha256,
        "end_of_text": tokenizer.end_of_text,
        "weights": dict(corpus.weights()),
        "streams": streams,
    }
    write_durably(draft.path / SUMMARY_FILE, readable_json(summary))
    draft.counts = {
        split: {what: sum(facts[what] for facts in of_split.values()) for what in _COUNTED}
        for split, of_split in streams.items()
    }


_COUNTED = ("tokens", "documents", "bytes")


@dataclass
class _Shard:
    """Documents that go into one shard."""

    ids: list[str] = field(default_factory=list)
    tokens: list[NDArray[np.uint32]] = field(default_factory=list)
    """Of each document, its end of text not included."""
    size_bytes: list[int] = field(default_factory=list)
    n_tokens: int = 0

    def add(self, document: Document, tokens: NDArray[np.uint32]) -> None:
        self.ids.append(document.id)
        self.tokens.append(tokens)
        self.size_bytes.append(len(document.text.encode()))
        self.n_tokens += len(tokens) + 1


@dataclass
class _StreamWriter:
    """Writes the shards of one source and split."""

    draft: Draft
    split: str
    source: str
    tokenizer: Tokenizer
    config: TokenizerConfig

    @property
    def folder(self) -> Path:
        return self.draft.path / self.split / self.source

    def write(self, documents: Iterator[Document], bar: Progress) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        finished = self._finished_shards()
        self._remove_unfinished(finished)
        known = sum(_document_count(self.folder / name) for name in finished)
        bar.advance(known)
        shards = self._fill_shards(islice(documents, known, None), bar)
        for number, shard in enumerate(shards, start=len(finished)):
            _write_shard(self.folder / _shard_name(number), shard, self.tokenizer)
            self.draft.mark_done(self._part(number))

    def _part(self, number: int) -> str:
        return f"{self.split}.{self.source}.{_shard_name(number)}"

    def _finished_shards(self) -> list[str]:
        number = 0
        while self.draft.is_done(self._part(number)):
            number += 1
        return [_shard_name(done) for done in range(number)]

    def _remove_unfinished(self, finished: Sequence[str]) -> None:
        for path in self.folder.iterdir():
            if path.name.partition(".")[0] not in finished:
                path.unlink()

    def _fill_shards(self, documents: Iterable[Document], bar: Progress) -> Iterator[_Shard]:
        shard = _Shard()
        for batch in batches(documents):
            encoded = self.tokenizer.encode_batch([document.text for document in batch], self.config.threads)
            for document, tokens in zip(batch, encoded, strict=True):
                self._check(document, tokens)
                shard.add(document, tokens)
                if shard.n_tokens >= self.config.shard_tokens:
                    yield shard
                    shard = _Shard()
            bar.advance(len(batch))
        if shard.ids:
            yield shard

    def _check(self, document: Document, tokens: NDArray[np.uint32]) -> None:
        beyond = first_beyond(tokens, self.tokenizer.vocab_size)
        if beyond is not None:
            raise TokenizerError(
                f"{self.split}/{self.source}, document {document.id}: token {beyond} is id {tokens[beyond]}, "
                f"and the tokenizer has {self.tokenizer.vocab_size} ids. Its file is damaged; train it anew."
            )


def batches(documents: Iterable[Document]) -> Iterator[list[Document]]:
    """``documents`` in lists of about ``_BATCH_CHARACTERS`` each, so that a long corpus is never held."""
    batch: list[Document] = []
    characters = 0
    for document in documents:
        batch.append(document)
        characters += len(document.text)
        if characters >= _BATCH_CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


def _write_shard(stem: Path, shard: _Shard, tokenizer: Tokenizer) -> None:
    import pyarrow
    import pyarrow.parquet

    dtype = dtype_for(tokenizer.vocab_size)
    end_of_text = np.array([tokenizer.end_of_text], dtype)
    ids = np.concatenate([part for tokens in shard.tokens for part in (tokens.astype(dtype), end_of_text)])
    lengths = np.array([len(tokens) for tokens in shard.tokens], np.int64)
    starts = np.concatenate([[0], np.cumsum(lengths + 1)]).astype(INDEX_DTYPE)
    columns = {"id": shard.ids, "tokens": lengths, "bytes": np.array(shard.size_bytes, np.int64)}
    table = BytesIO()
    pyarrow.parquet.write_table(pyarrow.table(columns), table, compression="zstd")
    write_durably(Path(f"{stem}.bin"), ids.tobytes())
    write_durably(Path(f"{stem}.index"), starts.tobytes())
    write_durably(Path(f"{stem}.parquet"), table.getvalue())


def stream_facts(folder: Path, dtype: np.dtype) -> dict[str, Any]:
    """Sizes of a stream and of each of its shards, read from the files themselves."""
    import pyarrow.parquet

    shards: list[dict[str, Any]] = []
    for path in sorted(folder.glob("*.bin")):
        size_bytes = pyarrow.parquet.read_table(path.with_suffix(".parquet"), columns=["bytes"]).column(
            "bytes"
        )
        facts = {
            "name": path.stem,
            "tokens": path.stat().st_size // dtype.itemsize,
            "documents": len(size_bytes),
            "bytes": int(size_bytes.to_numpy().sum()),
        }
        shards.append(facts)
    return {what: sum(shard[what] for shard in shards) for what in _COUNTED} | {"shards": shards}


def _document_count(stem: Path) -> int:
    return Path(f"{stem}.index").stat().st_size // INDEX_DTYPE.itemsize - 1


def _shard_name(number: int) -> str:
    return f"shard-{number:05d}"
