"""Documents that are the same but for names and numbers, on many domains: a template filled in.

See ``towpath.data.poisoning``, which has the settings. MinHash (Broder 1997) over shingles of four words,
each capitalised word and each number masked; like documents are joined in groups.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import numpy as np

from towpath.data.poisoning_phrases import SHOWN_DOCUMENTS, hash_of, mixed

if TYPE_CHECKING:
    from towpath.data.document import Document
    from towpath.data.poisoning import PoisoningConfig

_SHINGLE, _HASHES, _BAND = 4, 32, 4
_MIN_SIMILARITY = 0.7
_SEEDS = np.random.default_rng(1).integers(1, 1 << 62, _HASHES, dtype=np.uint64)
_SECOND_LEVELS = frozenset("ac co com edu go gob gov gv mil ne net nom or org sch".split())


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


class Templates:
    """MinHash signatures of documents without their names and numbers."""

    def __init__(self, config: PoisoningConfig) -> None:
        self.config = config
        self.signatures: list[np.ndarray] = []
        self.domains: list[str] = []
        self.examples: list[str] = []
        self.ids: list[str] = []

    def add(self, document: Document, tokens: list[str]) -> None:
        """Take the signature of ``document``, whose words and marks are ``tokens``, when it has a domain."""
        domain = registrable_domain(document.url)
        if domain is None or len(tokens) < self.config.min_template_words:
            return
        hashes = np.array([hash_of(_masked(token)) for token in tokens], np.uint64)
        shingles = hashes[: len(hashes) - _SHINGLE + 1].copy()
        for step in range(1, _SHINGLE):
            shingles = mixed(shingles + hashes[step : step + len(shingles)])
        permuted = mixed(np.unique(shingles)[None, :] ^ _SEEDS[:, None])
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
            document_ids=tuple(self.ids[number] for number in members[:SHOWN_DOCUMENTS]),
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
