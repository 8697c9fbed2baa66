"""Statistics of finished documents: sizes, lengths, composition, drops, domains, duplicates.

Comes in: an artifact of documents and, when there are token shards, the tokens of each source.
Goes out: plain values, the same for the same documents, as a dictionary that is stored as JSON, and
as Markdown and HTML by ``towpath.data.statistics_page``. Parts are read one at a time and only
the columns at hand, so that memory does not grow with the dataset but with the number of distinct
hosts and of duplicate clusters.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import numpy as np

from towpath.data.documents import Documents
from towpath.data.mixture import absent
from towpath.data.parts import part_paths, read_table
from towpath.data.pipeline import CONTAMINATION
from towpath.data.sorting import INDEX_FOLDER, LANGUAGE
from towpath.data.verdicts import DROPPED, TRAIN, VALIDATION

if TYPE_CHECKING:
    import pyarrow as pa

    from towpath.core.artifacts import Artifact

LENGTH_EDGES = tuple(2**power for power in range(4, 25))
"""Characters: the first and last column of a histogram also hold what is shorter and longer."""

_TOP_HOSTS = 25
_LARGEST_CLUSTERS = 10
_COLUMNS = ["text", "url", "date", "licence"]


@dataclass
class _Tally:
    """What is counted of the kept documents of one source."""

    documents: int = 0
    characters: int = 0
    size_bytes: int = 0
    lengths: np.ndarray = field(default_factory=lambda: np.zeros(len(LENGTH_EDGES) - 1, np.int64))
    hosts: Counter[str] = field(default_factory=Counter)
    years: Counter[str] = field(default_factory=Counter)
    licences: Counter[str] = field(default_factory=Counter)

    def add(self, table: pa.Table) -> None:
        """Count the rows of ``table``, which has the columns ``_COLUMNS``."""
        import pyarrow.compute as pc

        characters = pc.call_function("utf8_length", [table["text"]]).to_numpy()
        self.documents += table.num_rows
        self.characters += int(characters.sum())
        self.size_bytes += int(pc.call_function("binary_length", [table["text"]]).to_numpy().sum())
        places = np.searchsorted(LENGTH_EDGES, characters, side="right") - 1
        self.lengths += np.bincount(places.clip(0, len(self.lengths) - 1), minlength=len(self.lengths))
        self.hosts.update(host for url in _values(table["url"]) if (host := host_of(url)))
        self.years.update(date[:4] for date in _values(table["date"]))
        self.licences.update(_values(table["licence"]))

    def facts(self) -> dict[str, Any]:
        """The counts as plain values."""
        return {
            "documents": self.documents,
            "characters": self.characters,
            "bytes": self.size_bytes,
            "mean_characters": round(self.characters / self.documents, 1) if self.documents else 0.0,
            "lengths": self.lengths.tolist(),
            "hosts": _most(self.hosts, _TOP_HOSTS),
            "n_hosts": len(self.hosts),
            "years": dict(sorted(self.years.items())),
            "licences": _most(self.licences),
        }


def _values(column: pa.ChunkedArray) -> list[str]:
    return [value for value in column.to_pylist() if value is not None]


def _most(counter: Counter[str], limit: int | None = None) -> dict[str, int]:
    return dict(sorted(counter.items(), key=lambda item: (-item[1], item[0]))[:limit])


def host_of(url: str) -> str:
    """The host of ``url`` without "www.", empty when there is none."""
    try:
        return (urlsplit(url).hostname or "").removeprefix("www.")
    except ValueError:
        return ""


def statistics(artifact: Artifact, tokens: Mapping[str, int] | None = None) -> dict[str, Any]:
    """What there is to count about ``artifact``.

    Args:
        artifact: documents made by ``make_documents``.
        tokens: training tokens of each source, if it has token shards.
    """
    documents = Documents(artifact)
    waterfall = documents.waterfall()
    given = {source["name"]: source for source in artifact.config["sources"]}
    sources = {}
    for name, counted in waterfall.items():
        facts = _kept(documents, name).facts()
        facts["languages"] = _languages(documents, name)
        facts["type"] = given[name]["type"]
        facts["category"] = given[name]["category"]
        facts["train_tokens"] = (tokens or {}).get(name)
        facts[DROPPED] = documents.reasons()[name]
        sources[name] = {**facts, **{key: counted[key] for key in ("read", TRAIN, VALIDATION)}}
    return {
        "documents": artifact.id,
        "name": artifact.name,
        "length_edges": list(LENGTH_EDGES),
        "all": _together(sources.values()),
        "sources": sources,
        "composition": _composition(documents, tokens),
        "duplicates": _duplicates(documents),
        "contamination": _contamination(artifact),
    }


def _kept(documents: Documents, source: str) -> _Tally:
    tally = _Tally()
    for split in (TRAIN, VALIDATION):
        for path in part_paths(documents.artifact.path / split / source):
            tally.add(read_table(path, _COLUMNS))
    return tally


def _languages(documents: Documents, source: str) -> dict[str, int]:
    """Kept documents by language, if the filter "language" looked at them."""
    found: Counter[str] = Counter()
    for path in part_paths(documents.artifact.path / INDEX_FOLDER / source):
        table = read_table(path)
        if LANGUAGE in table.column_names:
            found.update(_values(table[LANGUAGE]))
    return _most(found)


def _together(sources: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    rows = list(sources)
    whole = {
        key: sum(row[key] for row in rows)
        for key in ("read", "documents", TRAIN, VALIDATION, "characters", "bytes")
    }
    dropped: Counter[str] = Counter()
    for row in rows:
        dropped.update(row[DROPPED])
    share = round(1 - whole["documents"] / whole["read"], 6) if whole["read"] else 0.0
    return {**whole, "dropped": _most(dropped), "dropped_share": share}


def _composition(documents: Documents, tokens: Mapping[str, int] | None) -> dict[str, Any]:
    """What each category and source is of the training text, and what it is meant to be."""
    wanted, mixture = documents.weights(), documents.mixture()
    sizes = documents.sizes()
    if tokens is not None:
        sizes = [replace(size, size=tokens.get(size.name, 0)) for size in sizes]
    whole = sum(size.size for size in sizes) or 1
    categories: dict[str, dict[str, float]] = {}
    for size in sizes:
        row = categories.setdefault(size.category, {"is": 0.0, "wanted": 0.0})
        row["is"] = round(row["is"] + size.size / whole, 6)
        row["wanted"] = round(row["wanted"] + wanted[size.name], 6)
    return {
        "unit": "characters" if tokens is None else "tokens",
        "categories": categories,
        "sources": {
            size.name: {"is": round(size.size / whole, 6), "wanted": round(wanted[size.name], 6)}
            for size in sizes
        },
        "absent": absent(sizes, mixture),
    }


def _contamination(artifact: Artifact) -> list[dict[str, Any]]:
    """A row for each evaluation set that the documents were searched for; examples are in its report."""
    path = artifact.path / CONTAMINATION
    if not path.exists():
        return []
    tasks = json.loads(path.read_bytes())["tasks"]
    return [{name: value for name, value in task.items() if name != "examples"} for task in tasks]


def _duplicates(documents: Documents) -> dict[str, Any]:
    """Clusters of duplicates by size, and the largest with the document that stayed."""
    repeated: Counter[str] = Counter()
    for source in documents.sources(DROPPED):
        for path in part_paths(documents.artifact.path / DROPPED / source):
            repeated.update(_values(read_table(path, ["duplicate_of"])["duplicate_of"]))
    sizes = Counter(count + 1 for count in repeated.values())
    largest = sorted(repeated.items(), key=lambda item: (-item[1], item[0]))[:_LARGEST_CLUSTERS]
    return {
        "clusters": len(repeated),
        "documents": sum(repeated.values()),
        "sizes": {str(size): sizes[size] for size in sorted(sizes)},
        "largest": [{"kept": identifier, "size": count + 1} for identifier, count in largest],
    }
