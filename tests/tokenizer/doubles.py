"""Doubles of this room's tests: a corpus in memory, its shards, ways to make text."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from hypothesis import strategies as st

from towpath.core.artifacts import Artifact, Store
from towpath.data import Document
from towpath.tokenizer import ByteTokenizer, Tokenizer, TokenizerConfig, TokenShards
from towpath.tokenizer.writing import write_shards

SENTENCES = [
    "The lock keeper opened the gate, and the boat went down the canal.",
    "They'd walked 12 miles along the towpath; it's 1847 now, isn't it?",
    "def lock(gate):\n    if gate:\n        return gate + 1\n\n\nclass Boat:\n    pass\n",
    "Grüße aus Köln — 東京の運河 — 🚢🚢 naïve façade\r\n\r\n\ttabs\tand   spaces      \n",
    "aaaaaaaaaaaaaaaaaaaaaaa ----------------------------- ======== 100000000000 3.14159",
]

FRAGMENTS = [
    *SENTENCES,
    *" \n\t\r\x00\xa0\u2028\u3000",
    *("  ", "    ", "\n\n", "\r\n", "'s", "'LL", "'ſ", "ſ", "K", "<|endoftext|>", "<|end|>", "<|", "|>"),
    *(
        "a",
        "aa",
        "aaa",
        "ab",
        "ba",
        "1",
        "12",
        "123",
        "é",
        "e\u0301",
        "🚢",
        "👩‍👩‍👧",
        "東",
        "\u0600",
        "\ufeff",
        "\U000e0001",
    ),
]


def texts() -> st.SearchStrategy[str]:
    """Any text without lone surrogates, rich in what tokenizers trip over."""
    pieces = st.one_of(
        st.sampled_from(FRAGMENTS),
        st.text(max_size=8),
        st.tuples(st.sampled_from(" a-\n1é"), st.integers(1, 300)).map(lambda pair: pair[0] * pair[1]),
    )
    return st.lists(pieces, max_size=12).map("".join)


class CorpusDouble:
    """Documents in memory, in the shape of ``towpath.data.Documents``."""

    def __init__(self, train: dict[str, list[str]], validation: dict[str, list[str]] | None = None) -> None:
        self.splits = {"train": train, "validation": validation or {}}

    def sources(self, split: str) -> list[str]:
        return list(self.splits[split])

    def weights(self) -> dict[str, float]:
        return {source: float(place) for place, source in enumerate(self.splits["train"], start=1)}

    def iterate(self, split: str, source: str) -> Iterator[Document]:
        for number, text in enumerate(self.splits[split][source]):
            yield Document(id=f"{split}-{source}-{number}", text=text, source=source, domain="prose")


def shards_of(
    home: Path, corpus: CorpusDouble, tokenizer: Tokenizer | None = None, shard_tokens: int = 600
) -> TokenShards:
    """The shards of ``corpus``, made in ``home``."""
    return TokenShards(artifact_of(home, corpus, tokenizer, shard_tokens))


def artifact_of(
    home: Path, corpus: CorpusDouble, tokenizer: Tokenizer | None = None, shard_tokens: int = 600
) -> Artifact:
    """The same, as an artifact."""
    tokenizer = tokenizer or ByteTokenizer()
    config = TokenizerConfig(shard_tokens=shard_tokens)
    return Store(home).make(
        "tokens", "double", {}, [], lambda draft: write_shards(draft, corpus, tokenizer, config)
    )
