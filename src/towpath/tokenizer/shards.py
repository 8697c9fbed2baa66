"""TokenShards: the token ids of a corpus on disk, read at any place without loading the rest.

Comes in: an artifact of kind "tokens", made by ``writing.make_tokens``. Goes out: one
``TokenStream`` a source and split: every document's ids in reading order, each document followed by
<|endoftext|>. Knows nothing of batches or order.

Layout: ``<split>/<source>/shard-00000.bin`` holds raw little-endian uint16 or uint32 ids;
``.index`` the uint64 token offsets where its documents start, and its length last; ``.parquet`` a
row a document (id, tokens without <|endoftext|>, UTF-8 bytes of the text). ``shards.json`` sums up.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from towpath.core.artifacts import Artifact
from towpath.core.errors import ArtifactError, TokenizerError, did_you_mean
from towpath.tokenizer.tokenizer import Tokenizer

if TYPE_CHECKING:
    from numpy.typing import NDArray

KIND = "tokens"
LAYOUT = 1
SUMMARY_FILE = "shards.json"
INDEX_DTYPE = np.dtype("<u8")


class DocumentPlace(NamedTuple):
    """A document in a stream: its place among the documents, its id, its first token."""

    ordinal: int
    document_id: str
    start_token: int


def dtype_for(vocab_size: int) -> np.dtype:
    """The smallest type that holds every id: little-endian uint16 or uint32."""
    return np.dtype("<u2" if vocab_size <= 1 << 16 else "<u4")


def first_beyond(ids: NDArray[Any], vocab_size: int) -> int | None:
    """Where the first id that is not below ``vocab_size`` stands; None when all are below."""
    if not len(ids) or int(ids.max()) < vocab_size:
        return None
    return int(np.argmax(ids >= vocab_size))


class TokenShards:
    """An opened artifact of kind "tokens"."""

    def __init__(self, artifact: Artifact) -> None:
        if artifact.kind != KIND:
            raise ArtifactError(f"{artifact.path} is a {artifact.kind}; {KIND} are needed here.")
        self.path: Path = artifact.path
        summary = json.loads((self.path / SUMMARY_FILE).read_bytes())
        self.dtype = np.dtype(summary["dtype"])
        self.vocab_size: int = summary["vocab_size"]
        """Every id is below; a model's vocabulary must not be smaller."""
        self.tokenizer_sha256: str = summary["tokenizer_sha256"]
        self.weights: dict[str, float] = summary["weights"]
        """Relative share of each source in training, as the run file of the documents gave it."""
        self._streams: dict[str, dict[str, Any]] = summary["streams"]

    def sources(self, split: str) -> list[str]:
        """Names of the sources of ``split`` ("train" or "validation"), in the run file's order."""
        return list(self._streams[split])

    def stream(self, split: str, source: str) -> TokenStream:
        """All tokens of one source.

        Raises:
            TokenizerError: there is no such source; names the nearest.
        """
        known = self._streams.get(split, {})
        if source not in known:
            raise TokenizerError(
                f"{self.path} has no source {source!r} in the split {split!r}."
                f"{did_you_mean(source, known)} There are: {', '.join(known) or 'none'}."
            )
        return TokenStream(self.path / split / source, known[source], self.dtype, self.vocab_size)

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer that made the ids; a copy of it lies among the shards."""
        return Tokenizer.load(self.path)


class TokenStream:
    """The tokens of one source and split as one sequence, whatever files they lie in."""

    def __init__(self, folder: Path, facts: Mapping[str, Any], dtype: np.dtype, vocab_size: int) -> None:
        self.folder = folder
        self.n_tokens: int = facts["tokens"]
        """Length of the stream, one <|endoftext|> a document counted."""
        self.n_documents: int = facts["documents"]
        self.n_bytes: int = facts["bytes"]
        """UTF-8 bytes of the documents' texts."""
        self._vocab_size = vocab_size
        self._shards: list[_Shard] = []
        first_token = first_document = 0
        for shard in facts["shards"]:
            self._shards.append(_Shard(folder / shard["name"], dtype, first_token, first_document))
            first_token += shard["tokens"]
            first_document += shard["documents"]
        self._first_tokens = [shard.first_token for shard in self._shards]
        self._first_documents = [shard.first_document for shard in self._shards]

    def read(self, start: int, stop: int) -> NDArray[np.int64]:
        """The ids of tokens ``start`` to ``stop``, without the latter.

        Raises:
            IndexError: the range is not inside the stream.
            ArtifactError: an id is not in the vocabulary; names file, token and document.
        """
        if not 0 <= start <= stop <= self.n_tokens:
            raise IndexError(f"tokens {start}:{stop} are not inside {self.folder} of {self.n_tokens} tokens")
        ids = np.empty(stop - start, np.int64)
        position = start
        while position < stop:
            shard = self._shard_of_token(position)
            part = shard.tokens[position - shard.first_token : stop - shard.first_token]
            ids[position - start : position - start + len(part)] = part
            position += len(part)
        if (beyond := first_beyond(ids, self._vocab_size)) is not None:
            raise self._beyond_vocabulary(start + beyond, int(ids[beyond]))
        return ids

    def document_at(self, token_index: int) -> DocumentPlace:
        """The document that token ``token_index`` belongs to; its <|endoftext|> belongs to it too."""
        if not 0 <= token_index < self.n_tokens:
            raise IndexError(f"token {token_index} is not inside {self.folder} of {self.n_tokens} tokens")
        shard = self._shard_of_token(token_index)
        inside = int(np.searchsorted(shard.starts, token_index - shard.first_token, side="right")) - 1
        start = shard.first_token + int(shard.starts[inside])
        return DocumentPlace(shard.first_document + inside, shard.document_id(inside), start)

    def document_range(self, ordinal: int) -> tuple[int, int]:
        """First token of document number ``ordinal``, and one past its <|endoftext|>."""
        if not 0 <= ordinal < self.n_documents:
            raise IndexError(
                f"document {ordinal} is not inside {self.folder} of {self.n_documents} documents"
            )
        shard = self._shards[bisect_right(self._first_documents, ordinal) - 1]
        inside = ordinal - shard.first_document
        start, stop = (shard.first_token + int(shard.starts[place]) for place in (inside, inside + 1))
        return start, stop

    def _shard_of_token(self, token_index: int) -> _Shard:
        return self._shards[bisect_right(self._first_tokens, token_index) - 1]

    def _beyond_vocabulary(self, token_index: int, token_id: int) -> ArtifactError:
        shard = self._shard_of_token(token_index)
        place = self.document_at(token_index)
        return ArtifactError(
            f"{shard.stem}.bin: token {token_index - shard.first_token} (document {place.document_id}, its "
            f"token {token_index - place.start_token}) is id {token_id}, and the tokenizer has "
            f"{self._vocab_size} ids. The file was changed, or made with another tokenizer. Make it anew."
        )


@dataclass
class _Shard:
    """One shard of a stream; its files are mapped when they are first read."""

    stem: Path
    dtype: np.dtype
    first_token: int
    first_document: int

    @cached_property
    def tokens(self) -> NDArray[Any]:
        return np.memmap(f"{self.stem}.bin", dtype=self.dtype, mode="r")

    @cached_property
    def starts(self) -> NDArray[np.uint64]:
        return np.memmap(f"{self.stem}.index", dtype=INDEX_DTYPE, mode="r")

    @cached_property
    def _ids(self) -> Any:
        import pyarrow.parquet

        return pyarrow.parquet.read_table(f"{self.stem}.parquet", columns=["id"]).column("id")

    def document_id(self, inside: int) -> str:
        return self._ids[inside].as_py()
