"""Encoding documents and writing them as token shards, against ``encode_batch`` of HF's ``tokenizers``.

    python benchmarks/data/encode_and_pack.py [--size-mb 6] [--vocab-size 16384]

The same documents and tokenizer as in the row `bpe training`, one thread. Ours ends with shards, their
document starts and their tables flushed to disk; the peer only encodes. The ids are the same, which is
checked. CPU time, in turn, the median of rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bpe_training import corpus, paired

from towpath.core.artifacts import Artifact, Store
from towpath.data import Document
from towpath.tokenizer import Tokenizer, TokenizerConfig, TokenShards, train_tokenizer
from towpath.tokenizer.writing import write_shards

ROW = "encode and pack"
ROUNDS = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--size-mb", type=float, default=6.0)
    parser.add_argument("--vocab-size", type=int, default=16_384)
    arguments = parser.parse_args()
    documents = corpus(arguments.size_mb)
    print(json.dumps(measure(documents, train_tokenizer(documents, arguments.vocab_size))))


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


def measure(texts: list[str], tokenizer: Tokenizer) -> dict[str, Any]:
    os.environ["RAYON_NUM_THREADS"], os.environ["TOKENIZERS_PARALLELISM"] = "1", "false"
    documents = [Document(id=str(n), text=text, source="all", domain="web") for n, text in enumerate(texts)]
    peer = peer_of(tokenizer)
    with tempfile.TemporaryDirectory() as folder:
        shards = TokenShards(packed(Path(folder), documents, tokenizer))
        check(shards, texts[:50], peer, tokenizer.end_of_text)
    n_tokens = shards.stream("train", "all").n_tokens
    ours_s, peer_s = paired(
        lambda: packed_and_removed(documents, tokenizer), lambda: peer.encode_batch(texts), ROUNDS
    )
    print(f"{len(texts):,} documents, {n_tokens:,} tokens")
    print(f"{'':12}{'tokens/CPU-s':>14}{'CPU-s':>8}")
    for name, seconds in (("towpath", ours_s), ("tokenizers", peer_s)):
        print(f"{name:12}{n_tokens / seconds:14,.0f}{seconds:8.2f}")
    return {
        "row": ROW,
        "ours": round(n_tokens / ours_s),
        "peer": round(n_tokens / peer_s),
        "ratio": round(peer_s / ours_s, 2),
        "unit": "tokens/CPU-s",
    }


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


def packed_and_removed(documents: list[Document], tokenizer: Tokenizer) -> None:
    with tempfile.TemporaryDirectory() as folder:
        packed(Path(folder), documents, tokenizer)


def check(shards: TokenShards, texts: list[str], peer: Any, end_of_text: int) -> None:
    """The first documents' ids are those of the peer."""
    expected = [number for text in texts for number in (*peer.encode(text).ids, end_of_text)]
    assert shards.stream("train", "all").read(0, len(expected)).tolist() == expected


if __name__ == "__main__":
    main()
