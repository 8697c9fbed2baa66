"""All quality features and the decisions from them, against datatrove's filters.

    python benchmarks/data/quality_features.py [--size-mb 12]

Documents of about 4 kB: prose and web text from the shared data, else the documentation of Python. Ours:
every feature of Gopher, C4 and FineWeb for every document, then the rules of four filters. datatrove
runs its four filters in FineWeb's order and stops at the first that drops a document, so its later
filters see fewer; it reads fewer documents, because it would take minutes. Both in one process, in
turn, documents a second of CPU time, the median of rounds.
"""

from __future__ import annotations

import argparse
import gzip
import json
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROW = "quality features"
ROUNDS = 3
PEER_DOCUMENTS = 250
DOCUMENT_CHARS = 4_000
SHARED = Path(__file__).resolve().parents[3] / "shared" / "data" / "pretrain"
FILTERS = ("gopher_repetition", "gopher", "c4", "fineweb")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--size-mb", type=float, default=12.0)
    print(json.dumps(measure(corpus(parser.parse_args().size_mb))))


def corpus(size_mb: float) -> list[str]:
    """Documents of about 4 kB; the texts are read again where they are not enough."""
    pieces, documents = list(_pieces()), []
    while len(documents) * DOCUMENT_CHARS < size_mb * 1e6:
        start = 0
        for stop in range(1, len(pieces) + 1):
            if sum(map(len, pieces[start:stop])) >= DOCUMENT_CHARS:
                documents.append("\n\n".join(pieces[start:stop]))
                start = stop
    return documents[: int(size_mb * 1e6 / DOCUMENT_CHARS)]


def _pieces() -> Iterator[str]:
    """Texts in the order of their files, long ones cut."""
    for text in _texts():
        for start in range(0, len(text), DOCUMENT_CHARS):
            yield text[start : start + DOCUMENT_CHARS]


def _texts() -> Iterator[str]:
    if not SHARED.is_dir():
        import pydoc_data.topics

        yield from pydoc_data.topics.topics.values()
        return
    for name in ("web/c4.jsonl", "mixed/brown.jsonl.gz", "mixed/masc.jsonl.gz", "stories/storybooks.jsonl"):
        path = SHARED / name
        with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as file:
            yield from (json.loads(line)["text"] for line in file)
    yield from (path.read_text() for path in sorted((SHARED / "books").glob("*.txt")))


def measure(texts: Sequence[str]) -> dict[str, Any]:
    few = texts[:: max(len(texts) // PEER_DOCUMENTS, 1)]
    runs: dict[str, tuple[Callable[[Sequence[str]], int], Sequence[str]]] = {
        "towpath": (ours, texts),
        f"datatrove {version('datatrove')}": (peer(), few),
    }
    for run, _ in runs.values():  # tables and word splitters are loaded before anything is measured
        run(texts[:5])
    rates: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(ROUNDS):
        for name, (run, some) in runs.items():
            start = time.process_time()
            kept = run(some)
            seconds = time.process_time() - start
            rates[name].append(len(some) / seconds)
            megabytes = sum(map(len, some)) / 1e6 / seconds
            print(
                f"{name}: {len(some):,} documents, {kept:,} kept, {rates[name][-1]:,.0f} documents/s, "
                f"{megabytes:.2f} MB/s"
            )
    mine, theirs = (statistics.median(found) for found in rates.values())
    return {
        "row": ROW,
        "ours": round(mine, 1),
        "peer": round(theirs, 1),
        "ratio": round(mine / theirs, 1),
        "unit": "documents/CPU-s",
    }


def ours(texts: Sequence[str]) -> int:
    import pyarrow as pa

    from towpath.data.features.text import TextFeatures
    from towpath.data.filters import FILTERS as CATALOGUE
    from towpath.data.rules import first_rule

    filters = [CATALOGUE.load(name)() for name in FILTERS]
    table = pa.table({"text": pa.array(texts, pa.large_string()), "domain": pa.repeat("prose", len(texts))})
    found = TextFeatures().compute(table)
    return int((first_rule(found.append_column("domain", table["domain"]), filters) < 0).sum())


def peer() -> Callable[[Sequence[str]], int]:
    from datatrove.data import Document
    from datatrove.pipeline.filters import (
        C4QualityFilter,
        FineWebQualityFilter,
        GopherQualityFilter,
        GopherRepetitionFilter,
    )

    filters = [
        GopherRepetitionFilter(),
        GopherQualityFilter(),
        C4QualityFilter(filter_no_terminal_punct=False),
        FineWebQualityFilter(),
    ]

    def run(texts: Sequence[str]) -> int:
        documents = (Document(text=text, id="x") for text in texts)
        return sum(all(judge.filter(document) is True for judge in filters) for document in documents)

    return run


if __name__ == "__main__":
    main()
