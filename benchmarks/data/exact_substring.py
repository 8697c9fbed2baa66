"""Repeated stretches of at least 200 bytes, against a suffix array.

    python benchmarks/data/exact_substring.py [--size-mb 12]

The corpus is text from the shared data, else the documentation of Python's modules, and again a tenth of
its documents. Ours is ``repeated_stretches``, with spans cut to sentences. The peer is pydivsufsort's
suffix array and its common prefixes (Kasai), and NumPy that marks where they reach 200 bytes; that it
crosses documents is not held against it. Both in one process in turn, megabytes a second of CPU time, the
median of rounds. Memory is the table of fingerprints and the spans, in bytes a byte of text.
"""

from __future__ import annotations

import argparse
import json
import pydoc
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROW = "exact substring"
ROUNDS = 3
MIN_BYTES = 200
DOCUMENT_CHARS = 4_000
SHARED = Path(__file__).resolve().parents[3] / "shared" / "data" / "pretrain"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--size-mb", type=float, default=12.0)
    print(json.dumps(measure(corpus(parser.parse_args().size_mb))))


def corpus(size_mb: float) -> list[str]:
    """Documents of about 4 kB, and a tenth of them once more."""
    if SHARED.is_dir():
        paths = sorted(path for path in SHARED.rglob("*.*") if path.suffix in (".txt", ".jsonl"))
        text = "\n".join(path.read_text(errors="ignore") for path in paths)
    else:
        names = sorted(name for name in sys.stdlib_module_names if not name.startswith("_"))
        text = "\n".join(
            pydoc.plain(pydoc.render_doc(name)) for name in names if name not in ("antigravity", "this")
        )
    text = text[: int(size_mb * 1e6 / 1.1)]
    documents = [text[start : start + DOCUMENT_CHARS] for start in range(0, len(text), DOCUMENT_CHARS)]
    return documents + documents[::10]


def measure(documents: list[str]) -> dict[str, Any]:
    import pyarrow as pa

    texts = pa.array(documents, pa.large_string())
    data = "".join(documents).encode()
    runs: dict[str, Callable[[], int]] = {"towpath": lambda: ours(texts), "pydivsufsort": lambda: peer(data)}
    rates: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(ROUNDS):
        for name, run in runs.items():
            start = time.process_time()
            found = run()
            rates[name].append(len(data) / 1e6 / (time.process_time() - start))
            print(f"{name}: {len(data) / 1e6:.1f} MB, {found:,} bytes repeated, {rates[name][-1]:.1f} MB/s")
    mine, theirs = (statistics.median(found) for found in rates.values())
    return {
        "row": ROW,
        "ours": round(mine, 1),
        "peer": round(theirs, 1),
        "ratio": round(mine / theirs, 1),
        "unit": "MB/CPU-s",
    }


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
