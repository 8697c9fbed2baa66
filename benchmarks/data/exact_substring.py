"""Repeated stretches of at least 200 bytes, against a suffix array.

    python benchmarks/data/exact_substring.py [--size-mb 12]

The corpus is text from the shared data, then Python's documentation and sources, and again a tenth of
its documents. Ours is ``repeated_stretches``, with spans cut to sentences. The peer is pydivsufsort's
suffix array and its common prefixes (Kasai), and NumPy that marks where they reach 200 bytes; that it
crosses documents is not held against it. Both in one process in turn, megabytes a second of CPU time, the
median of rounds. Memory is the table of fingerprints and the spans, in bytes a byte of text.
"""

from __future__ import annotations

from typing import Any

from paired import Side, arguments, cut_texts, paired, print_row

ROW = "exact substring"
UNIT = "MB/CPU-s"
ROUNDS = 3
MIN_BYTES = 200
COPIES = 0.1  # of the documents, that are there twice


def main() -> None:
    size_mb = arguments(__doc__, size_mb=12.0).parse_args().size_mb
    documents = cut_texts(size_mb / (1 + COPIES), (".txt", ".jsonl"))
    measure(documents + documents[:: round(1 / COPIES)])


def measure(documents: list[str]) -> None:
    import pyarrow as pa

    texts = pa.array(documents, pa.large_string())
    data = "".join(documents).encode()
    size_mb = len(data) / 1e6
    sides = [
        Side("towpath", size_mb, lambda: f"{ours(texts):,} bytes repeated"),
        Side("pydivsufsort", size_mb, lambda: f"{peer(data):,} bytes repeated"),
    ]
    print_row(ROW, paired(sides, ROUNDS, UNIT), UNIT)


def ours(texts: Any) -> int:
    from towpath.data.dedup.substring import repeated_stretches

    return sum(stop - start for spans in repeated_stretches(texts, MIN_BYTES) for start, stop in spans)


def peer(data: bytes) -> int:
    import numpy as np
    import pydivsufsort

    suffixes = pydivsufsort.divsufsort(data)
    common = np.asarray(pydivsufsort.kasai(data, suffixes))
    repeats = np.zeros(len(data) + 1, np.int64)
    long = np.flatnonzero(common[:-1] >= MIN_BYTES)
    later = np.maximum(suffixes[long], suffixes[long + 1])
    np.add.at(repeats, later, 1)
    np.add.at(repeats, later + MIN_BYTES, -1)
    return int((np.cumsum(repeats) > 0).sum())


if __name__ == "__main__":
    main()
