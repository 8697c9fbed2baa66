"""Signs of poisoning in a corpus: documents come in, a report of suspicious phrases and templates goes out.

Two things that no single document shows:

- A burst: a phrase that a few documents repeat over and over, that hardly any other has, though these
  documents have little else in common. So triggers look that are put into unrelated text (Wallace et al.
  2021, arXiv:2010.12563; Souly et al. 2025, arXiv:2510.07192). Words of a subject burst too, but documents
  on one subject share other rare words; that tells the two apart.
- A template: texts that are the same but for names and numbers, on many registrable domains.

One pass of plain Python and NumPy, 0.4 MB of text in a second, 128 MB of memory and some kilobytes a
document: take a sample of a large corpus. What is found is a reason to look, not a verdict, and a
trigger that stands once in each document is not found. The papers poison and measure; the detection is this
project's own, its thresholds chosen on real text with planted triggers.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import combinations
from random import Random
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import numpy as np
from pydantic import Field

from towpath.core.config import Section

if TYPE_CHECKING:
    from towpath.data.document import Document

_TOKENS = re.compile(r"\w+|[^\w\s]")
_MAX_TOKENS = 20_000  # of a longer document the rest is not read
_FACTOR = np.uint64(0x9E3779B97F4A7C15)
_SHINGLE, _HASHES, _BAND = 4, 32, 4
_MIN_SIMILARITY = 0.7
_SEEDS = np.random.default_rng(1).integers(1, 1 << 62, _HASHES, dtype=np.uint64)
_SECOND_LEVELS = frozenset("ac co com edu go gob gov gv mil ne net nom or org sch".split())
_SAMPLED_WORDS = 256
_PANEL = 100
_COMPARED_DOCUMENTS = 10
_NO_WORDS = np.zeros(0, np.uint64)
_MIN_RARE_DOCUMENTS = 20
_SHOWN_DOCUMENTS = 20


class PoisoningConfig(Section):
    """When a phrase or a template is suspicious."""

    max_phrase_words: int = Field(default=3, ge=1, le=8)
    """Words in a phrase, at most."""
    min_repeats: int = Field(default=3, ge=2)
    """Times that a document has to repeat a phrase."""
    min_documents: int = Field(default=5, ge=2)
    """Documents that have to do so."""
    min_repeating_share: float = Field(default=0.75, gt=0, le=1)
    """Of the documents that have the phrase at all, this share has to repeat it."""
    max_document_share: float = Field(default=0.02, gt=0, le=1)
    """A phrase in a larger share of all documents is no rare one, unless fewer than twenty have it."""
    max_likeness: float = Field(default=1.75, gt=0)
    """Documents are unrelated when they are no more alike than this many times any two. Measured on 1,513
    real texts: 0.6 to 1.5 for 24 planted triggers, 2.3 and more for words of a subject."""
    sketch_bits: int = Field(default=24, ge=10, le=30)
    """Phrases are counted in two rows of 2 to this power cells of 4 bytes; with many more phrases than
    cells, counts come out too high, and rare phrases are overlooked."""
    min_template_domains: int = Field(default=5, ge=2)
    """Registrable domains that one template has to be on."""
    min_template_words: int = Field(default=20, ge=5)
    """Shorter documents are no templates."""


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


@dataclass(frozen=True)
class Template:
    """Documents that are the same but for names and numbers."""

    n_documents: int
    domains: tuple[str, ...]
    """Registrable domains, sorted."""
    example: str
    """The beginning of the first one's text."""
    document_ids: tuple[str, ...]
    """Of up to twenty of them."""


@dataclass(frozen=True)
class PoisoningReport:
    """What is worth a look."""

    n_documents: int
    """Documents read."""
    bursts: tuple[Burst, ...]
    """The phrases in most documents first."""
    templates: tuple[Template, ...]
    """The templates on most domains first."""


def poisoning_report(documents: Iterable[Document], config: PoisoningConfig | None = None) -> PoisoningReport:
    """Read ``documents`` once and report suspicious phrases and templates."""
    config = config or PoisoningConfig()
    phrases = _Phrases(config)
    templates = _Templates(config)
    count = 0
    for document in documents:
        tokens = _TOKENS.findall(document.text)[:_MAX_TOKENS]
        phrases.add(document, [token.lower() for token in tokens])
        templates.add(document, tokens)
        count += 1
    return PoisoningReport(count, phrases.bursts(), templates.found())


@dataclass
class _Repeated:
    """A phrase while documents are read."""

    phrase: str
    documents: list[int] = field(default_factory=list)
    n_occurrences: int = 0


class _Phrases:
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
        hashes = np.fromiter(map(_hash_of, tokens), np.uint64, len(tokens))
        number = len(self.ids)
        self.ids.append(document.id)
        self.sources.append(document.source)
        words = np.unique(hashes)
        self.words.append(words[:_SAMPLED_WORDS])
        ngrams = np.zeros(len(tokens), np.uint64)
        for size in range(1, self.config.max_phrase_words + 1):
            count = len(tokens) - size + 1
            if count <= 0:
                break
            ngrams = _mixed(ngrams[:count] + hashes[size - 1 :])
            found, first, counts = np.unique(ngrams, return_index=True, return_counts=True)
            for row, cells in enumerate(self._cells(found)):
                np.add.at(self.frequency[row], cells, 1)
            for index in np.flatnonzero(counts >= self.config.min_repeats):
                words_of_phrase = tokens[first[index] : first[index] + size]
                if any(map(str.isalnum, words_of_phrase)):
                    entry = self.repeated.setdefault(int(found[index]), _Repeated(" ".join(words_of_phrase)))
                    entry.documents.append(number)
                    entry.n_occurrences += int(counts[index])

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
        own = np.array([_hash_of(word) for word in entry.phrase.split(" ")], np.uint64)
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
            document_ids=tuple(self.ids[number] for number in entry.documents[:_SHOWN_DOCUMENTS]),
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
        return np.log(len(self.ids) / np.maximum(self._frequency_of(_mixed(words)), 1))

    def _frequency_of(self, ngrams: np.ndarray) -> np.ndarray:
        """Documents that have each of ``ngrams``, at least."""
        rows = [self.frequency[row][cells] for row, cells in enumerate(self._cells(ngrams))]
        return np.minimum(*rows).astype(np.int64)

    def _cells(self, ngrams: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where the two rows of the sketch count ``ngrams``."""
        bits = np.uint64(self.config.sketch_bits)
        mask = np.uint64((1 << self.config.sketch_bits) - 1)
        return ngrams & mask, (ngrams >> bits) & mask


class _Templates:
    """MinHash signatures of documents without their names and numbers."""

    def __init__(self, config: PoisoningConfig) -> None:
        self.config = config
        self.signatures: list[np.ndarray] = []
        self.domains: list[str] = []
        self.examples: list[str] = []
        self.ids: list[str] = []

    def add(self, document: Document, tokens: list[str]) -> None:
        domain = registrable_domain(document.url)
        if domain is None or len(tokens) < self.config.min_template_words:
            return
        hashes = np.array([_hash_of(_masked(token)) for token in tokens], np.uint64)
        shingles = hashes[: len(hashes) - _SHINGLE + 1].copy()
        for step in range(1, _SHINGLE):
            shingles = _mixed(shingles + hashes[step : step + len(shingles)])
        permuted = _mixed(np.unique(shingles)[None, :] ^ _SEEDS[:, None])
        self.signatures.append(permuted.min(axis=1))
        self.domains.append(domain)
        self.examples.append(document.text[:200])
        self.ids.append(document.id)

    def found(self) -> tuple[Template, ...]:
        """Groups of like documents on enough domains."""
        groups = defaultdict(list)
        for number, first in enumerate(self._first_alike()):
            groups[first].append(number)
        templates = [self._template(members) for members in groups.values()]
        enough = [found for found in templates if len(found.domains) >= self.config.min_template_domains]
        return tuple(sorted(enough, key=lambda found: (-len(found.domains), found.document_ids)))

    def _first_alike(self) -> list[int]:
        """For each document the first one of its group."""
        first = list(range(len(self.signatures)))

        def root(number: int) -> int:
            while first[number] != number:
                first[number] = first[first[number]]
                number = first[number]
            return number

        for band in range(0, _HASHES, _BAND):
            buckets: dict[bytes, int] = {}
            for number, signature in enumerate(self.signatures):
                other = buckets.setdefault(signature[band : band + _BAND].tobytes(), number)
                if np.mean(self.signatures[other] == signature) >= _MIN_SIMILARITY:
                    one, two = sorted((root(other), root(number)))
                    first[two] = one
        return [root(number) for number in range(len(first))]

    def _template(self, members: list[int]) -> Template:
        return Template(
            n_documents=len(members),
            domains=tuple(sorted({self.domains[number] for number in members})),
            example=self.examples[members[0]],
            document_ids=tuple(self.ids[number] for number in members[:_SHOWN_DOCUMENTS]),
        )


def registrable_domain(url: str | None) -> str | None:
    """The part of a URL's host that someone registered: "shop.example.co.uk" is "example.co.uk".

    Deviation from the Public Suffix List: below a country's two letters only the usual second levels
    (co, com, ac, …) are known. None for no URL, an IP address or a host without a dot.
    """
    try:
        host = urlsplit(url or "").hostname
    except ValueError:
        return None
    labels = (host or "").rstrip(".").split(".")
    if len(labels) < 2 or not all(labels) or labels[-1].isdigit():
        return None
    of_country = len(labels) > 2 and len(labels[-1]) == 2 and labels[-2] in _SECOND_LEVELS
    return ".".join(labels[-3:] if of_country else labels[-2:])


def _masked(token: str) -> str:
    if any(map(str.isdigit, token)):
        return "0"
    return "N" if token[0].isupper() else token


@lru_cache(1 << 16)
def _hash_of(token: str) -> int:
    return int.from_bytes(
        hashlib.blake2b(token.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little"
    )


def _mixed(values: np.ndarray) -> np.ndarray:
    """uint64 -> uint64, so that neighbouring values are far apart."""
    values = (values ^ (values >> np.uint64(31))) * _FACTOR
    return values ^ (values >> np.uint64(29))
