"""All quality features and the decisions from them, against datatrove's filters.

    python benchmarks/data/quality_features.py [--size-mb 12]

Documents of about 4 kB: prose and web text from the shared data, else the documentation of Python. Ours:
every feature of Gopher, C4 and FineWeb for every document, then the rules of four filters. datatrove
runs its four filters in FineWeb's order and stops at the first that drops a document, so its later
filters see fewer; it reads fewer documents, because it would take minutes. Both in one process, in
turn, documents a second of CPU time, the median of rounds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.metadata import version

from paired import Side, arguments, joined_texts, paired, print_row

ROW = "quality features"
UNIT = "documents/CPU-s"
ROUNDS = 3
PEER_DOCUMENTS = 250
FILTERS = ("gopher_repetition", "gopher", "c4", "fineweb")


def main() -> None:
    measure(joined_texts(arguments(__doc__, size_mb=12.0).parse_args().size_mb))


def measure(texts: Sequence[str]) -> None:
    few = texts[:: max(len(texts) // PEER_DOCUMENTS, 1)]
    theirs = peer()
    for run in (ours, theirs):  # tables and word splitters are loaded before anything is measured
        run(texts[:5])
    sides = [
        Side("towpath", len(texts), lambda: f"{ours(texts):,} kept"),
        Side(f"datatrove {version('datatrove')}", len(few), lambda: f"{theirs(few):,} kept"),
    ]
    print_row(ROW, paired(sides, ROUNDS, UNIT), UNIT)


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
