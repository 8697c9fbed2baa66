"""Encoding documents and writing them as token shards, against ``encode_batch`` of HF's ``tokenizers``.

    python benchmarks/data/encode_and_pack.py [--size-mb 6] [--vocab-size 16384]

The same documents and tokenizer as in the row `bpe training`, one thread. Ours ends with shards, their
document starts and their tables flushed to disk; the peer only encodes. The ids are the same, which is
checked. CPU time, in turn, the median of rounds.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paired import Side, arguments, cut_texts, paired, print_row

from towpath.core.artifacts import Artifact, Store
from towpath.data import Document
from towpath.tokenizer import Tokenizer, TokenizerConfig, TokenShards, train_tokenizer
from towpath.tokenizer.writing import write_shards

ROW = "encode and pack"
UNIT = "tokens/CPU-s"
ROUNDS = 3


def main() -> None:
    parser = arguments(__doc__, size_mb=6.0)
    parser.add_argument("--vocab-size", type=int, default=16_384)
    options = parser.parse_args()
    documents = cut_texts(options.size_mb)
    measure(documents, train_tokenizer(documents, options.vocab_size))


@dataclass
class Corpus:
    """Documents in memory, in the shape of ``towpath.data.Documents``."""

    documents: list[Document]

    def sources(self, split: str) -> list[str]:
        return ["all"] if split == "train" else []

    def weights(self) -> dict[str, float]:
        return {"all": 1.0}

    def iterate(self, split: str, source: str) -> Iterator[Document]:
        return iter(self.documents)


def measure(texts: list[str], tokenizer: Tokenizer) -> None:
    os.environ["RAYON_NUM_THREADS"], os.environ["TOKENIZERS_PARALLELISM"] = "1", "false"
    documents = [Document(id=str(n), text=text, source="all", domain="web") for n, text in enumerate(texts)]
    peer = peer_of(tokenizer)
    with tempfile.TemporaryDirectory() as folder:
        shards = TokenShards(packed(Path(folder), documents, tokenizer))
        check(shards, texts[:50], peer, tokenizer.end_of_text)
    n_tokens = shards.stream("train", "all").n_tokens
    sides = [
        Side("towpath", n_tokens, lambda: packed_and_removed(documents, tokenizer)),
        Side("tokenizers", n_tokens, lambda: f"{len(peer.encode_batch(texts)):,} documents encoded"),
    ]
    print_row(ROW, paired(sides, ROUNDS, UNIT), UNIT)


def peer_of(tokenizer: Tokenizer) -> Any:
    """The same tokenizer in ``tokenizers``, from the file that is written for it."""
    import tokenizers

    with tempfile.TemporaryDirectory() as folder:
        return tokenizers.Tokenizer.from_file(str(tokenizer.save(Path(folder))))


def packed(folder: Path, documents: list[Document], tokenizer: Tokenizer) -> Artifact:
    """The shards of ``documents``."""
    config = TokenizerConfig(threads=1)
    return Store(folder).make(
        *("tokens", "benchmark", {}, []),
        lambda draft: write_shards(draft, Corpus(documents), tokenizer, config),
    )


def packed_and_removed(documents: list[Document], tokenizer: Tokenizer) -> str:
    with tempfile.TemporaryDirectory() as folder:
        packed(Path(folder), documents, tokenizer)
    return f"{len(documents):,} documents packed"


def check(shards: TokenShards, texts: list[str], peer: Any, end_of_text: int) -> None:
    """The first documents' ids are those of the peer."""
    expected = [number for text in texts for number in (*peer.encode(text).ids, end_of_text)]
    assert shards.stream("train", "all").read(0, len(expected)).tolist() == expected


if __name__ == "__main__":
    main()
