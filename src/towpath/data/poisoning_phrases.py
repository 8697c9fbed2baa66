"""Phrases that a few unrelated documents repeat: tokens of documents come in, bursts go out.

See ``towpath.data.poisoning``, which has the settings. Documents are unrelated when a sample of their words,
chosen by hash and so the same for all, overlaps no more than with any other document; rare words weigh
more.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import combinations
from random import Random
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from towpath.data.document import Document
    from towpath.data.poisoning import PoisoningConfig

SHOWN_DOCUMENTS = 20
_FACTOR = np.uint64(0x9E3779B97F4A7C15)
_SAMPLED_WORDS = 256
_PANEL = 100
_COMPARED_DOCUMENTS = 10
_MIN_RARE_DOCUMENTS = 20
_NO_WORDS = np.zeros(0, np.uint64)


@dataclass(frozen=True)
class Burst:
    """A phrase that a few unrelated documents repeat."""

    phrase: str
    n_documents: int
    """Documents that repeat it."""
    n_occurrences: int
    sources: Mapping[str, int]
    """How many of the documents each source has; all from one source is the more suspicious."""
    likeness: float
    """How alike these documents are to each other: 1 is as alike as to any documents."""
    document_ids: tuple[str, ...]
    """Of up to twenty of them."""


@dataclass
class _Repeated:
    """A phrase while documents are read."""

    phrase: str
    documents: list[int] = field(default_factory=list)
    n_occurrences: int = 0


class Phrases:
    """Counts phrases, and keeps those that a document repeats."""

    def __init__(self, config: PoisoningConfig) -> None:
        self.config = config
        self.repeated: dict[int, _Repeated] = {}
        self.frequency = np.zeros((2, 1 << config.sketch_bits), np.uint32)
        """A count-min sketch of how many documents have each phrase (Cormode and Muthukrishnan 2005)."""
        self._to_any: dict[int, float] = {}
        self.words: list[np.ndarray] = []
        """Of each document a sample of its words' hashes, chosen by the hash, so the same for all."""
        self.ids: list[str] = []
        self.sources: list[str] = []

    def add(self, document: Document, tokens: list[str]) -> None:
        """Count the phrases of ``document``, whose words and marks in lower case are ``tokens``."""
        self.ids.append(document.id)
        self.sources.append(document.source)
        hashes = np.fromiter(map(hash_of, tokens), np.uint64, len(tokens))
        self.words.append(np.unique(hashes)[:_SAMPLED_WORDS])
        ngrams = np.zeros(len(tokens), np.uint64)
        for size in range(1, min(self.config.max_phrase_words, len(tokens)) + 1):
            ngrams = mixed(ngrams[: len(tokens) - size + 1] + hashes[size - 1 :])
            found, first, counts = np.unique(ngrams, return_index=True, return_counts=True)
            for row, cells in enumerate(self._cells(found)):
                np.add.at(self.frequency[row], cells, 1)
            for index in np.flatnonzero(counts >= self.config.min_repeats):
                phrase = tokens[first[index] : first[index] + size]
                self._keep(int(found[index]), phrase, int(counts[index]))

    def _keep(self, key: int, phrase: list[str], count: int) -> None:
        """Remember that the newest document repeats ``phrase``; marks alone are none."""
        if any(map(str.isalnum, phrase)):
            entry = self.repeated.setdefault(key, _Repeated(" ".join(phrase)))
            entry.documents.append(len(self.ids) - 1)
            entry.n_occurrences += count

    def bursts(self) -> tuple[Burst, ...]:
        """The suspicious phrases; of phrases in the same documents the longest."""
        longest: dict[tuple[int, ...], Burst] = {}
        for key, entry in self.repeated.items():
            if len(entry.documents) >= self.config.min_documents and self._is_rare(key, entry):
                burst = self._burst(entry)
                documents = tuple(entry.documents)
                known = longest.get(documents)
                if burst and (known is None or len(burst.phrase) > len(known.phrase)):
                    longest[documents] = burst
        return tuple(sorted(longest.values(), key=lambda burst: (-burst.n_documents, burst.phrase)))

    def _is_rare(self, key: int, entry: _Repeated) -> bool:
        n_having_it = int(self._frequency_of(np.array([key], np.uint64))[0])
        most = max(self.config.max_document_share * len(self.ids), _MIN_RARE_DOCUMENTS)
        return n_having_it <= most and len(entry.documents) >= self.config.min_repeating_share * n_having_it

    def _burst(self, entry: _Repeated) -> Burst | None:
        some = entry.documents[:_COMPARED_DOCUMENTS]
        own = np.array([hash_of(word) for word in entry.phrase.split(" ")], np.uint64)
        among_them = np.mean([self._likeness(*pair, own) for pair in combinations(some, 2)])
        likeness = float(among_them / max(np.mean([self._likeness_to_any(number) for number in some]), 1e-9))
        if likeness > self.config.max_likeness:
            return None
        return Burst(
            phrase=entry.phrase,
            n_documents=len(entry.documents),
            n_occurrences=entry.n_occurrences,
            sources=Counter(self.sources[number] for number in entry.documents),
            likeness=likeness,
            document_ids=tuple(self.ids[number] for number in entry.documents[:SHOWN_DOCUMENTS]),
        )

    def _likeness_to_any(self, number: int) -> float:
        """How alike a document is to others on average, by a panel that is the same for all."""
        if number not in self._to_any:
            count = len(self.ids)
            panel = [other for other in Random(0).sample(range(count), min(count, _PANEL)) if other != number]
            self._to_any[number] = float(np.mean([self._likeness(number, other) for other in panel] or [0.0]))
        return self._to_any[number]

    def _likeness(self, one: int, other: int, without: np.ndarray = _NO_WORDS) -> float:
        """Jaccard similarity of the sampled words but ``without``, each weighted by its rarity."""
        words, others = self.words[one], self.words[other]
        if not len(words) or not len(others):
            return 0.0
        last = min(words[-1], others[-1])  # both samples hold all words up to here
        words, others = words[words <= last], others[others <= last]
        in_both = np.setdiff1d(np.intersect1d(words, others, assume_unique=True), without)
        shared = self._rarity(in_both).sum()
        either = self._rarity(words).sum() + self._rarity(others).sum() - shared
        return float(shared / either) if either > 0 else 0.0

    def _rarity(self, words: np.ndarray) -> np.ndarray:
        return np.log(len(self.ids) / np.maximum(self._frequency_of(mixed(words)), 1))

    def _frequency_of(self, ngrams: np.ndarray) -> np.ndarray:
        """Documents that have each of ``ngrams``, at least."""
        rows = [self.frequency[row][cells] for row, cells in enumerate(self._cells(ngrams))]
        return np.minimum(*rows).astype(np.int64)

    def _cells(self, ngrams: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where the two rows of the sketch count ``ngrams``."""
        bits = np.uint64(self.config.sketch_bits)
        mask = np.uint64((1 << self.config.sketch_bits) - 1)
        return ngrams & mask, (ngrams >> bits) & mask


@lru_cache(1 << 16)
def hash_of(token: str) -> int:
    """64 bits of BLAKE2b."""
    return int.from_bytes(
        hashlib.blake2b(token.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little"
    )


def mixed(values: np.ndarray) -> np.ndarray:
    """uint64 -> uint64, so that neighbouring values are far apart."""
    values = (values ^ (values >> np.uint64(31))) * _FACTOR
    return values ^ (values >> np.uint64(29))
