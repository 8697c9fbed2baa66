"""Training a byte-level BPE, against the trainer of HF's ``tokenizers``.

    python benchmarks/data/bpe_training.py [--size-mb 6] [--vocab-size 16384]

Documents of 4,000 characters of prose, web text and code from the shared data, else towpath's own
sources and Python's. Both read the same texts, cut them by the same pattern and learn as many merges;
the merges are the same, which is checked. Then a process of
its own trains on the texts, and another on the texts read twice: peak memory is that of the texts, which
are held here, and of distinct words. CPU time, in turn, the
median of rounds.
"""

from __future__ import annotations

import argparse
import gzip
import json
import pydoc_data.topics
import resource
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

ROW = "bpe training"
ROUNDS = 2
DOCUMENT_CHARS = 4_000
SHARED = Path(__file__).resolve().parents[3] / "shared" / "data" / "pretrain"
TEXT_SUFFIXES = (".txt", ".json", ".jsonl", ".md", ".html", ".py", ".csv", ".gz")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--size-mb", type=float, default=6.0)
    parser.add_argument("--vocab-size", type=int, default=16_384)
    arguments = parser.parse_args()
    print(json.dumps(measure(corpus(arguments.size_mb), arguments.vocab_size)))


def corpus(size_mb: float) -> list[str]:
    """Documents of 4,000 characters; fewer than asked for where there is no more text."""
    documents: list[str] = []
    size_bytes = 0
    for text in _texts():
        for start in range(0, len(text), DOCUMENT_CHARS):
            if size_bytes >= size_mb * 1e6:
                return documents
            documents.append(text[start : start + DOCUMENT_CHARS])
            size_bytes += len(documents[-1].encode())
    return documents


def _texts() -> Iterator[str]:
    paths = sorted(path for path in SHARED.rglob("*") if path.suffix in TEXT_SUFFIXES)
    for path in paths:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        yield data.decode(errors="ignore")
    yield from pydoc_data.topics.topics.values()
    for folder in (Path(__file__).resolve().parents[2] / "src", Path(json.__file__).parents[1]):
        for path in sorted(folder.rglob("*.py")):
            if "site-packages" not in path.parts:
                yield path.read_text(encoding="utf-8", errors="ignore")


def paired(ours: Callable[[], Any], peer: Callable[[], Any], rounds: int) -> tuple[float, float]:
    """CPU seconds of both, each run once a round in turn: the medians."""
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for taken, run in zip(seconds, (ours, peer), strict=True):
            started = time.process_time()
            run()
            taken.append(time.process_time() - started)
    return statistics.median(seconds[0]), statistics.median(seconds[1])


def measure(documents: list[str], vocab_size: int) -> dict[str, Any]:
    from towpath.tokenizer.bpe import train_merges

    count = vocab_size - 256
    assert train_merges(documents[:100], 500) == peer_merges(documents[:100], 500)
    ours, peer = paired(lambda: train_merges(documents, count), lambda: peer_merges(documents, count), ROUNDS)
    size_mb = sum(len(document.encode()) for document in documents) / 1e6
    print(f"{len(documents):,} documents, {size_mb:.1f} MB, {vocab_size:,} ids")
    print(f"{'':12}{'MB/CPU-s':>10}{'CPU-s':>8}")
    for name, seconds in (("towpath", ours), ("tokenizers", peer)):
        print(f"{name:12}{size_mb / seconds:10.2f}{seconds:8.2f}")
    for times in (1, 2):
        print(
            f"peak memory of training over the text read {times} x: {peak_mb(size_mb, count, times):.0f} MB"
        )
    return {
        "row": ROW,
        "ours": round(size_mb / ours, 2),
        "peer": round(size_mb / peer, 2),
        "ratio": round(peer / ours, 2),
        "unit": "MB/CPU-s",
    }


def peer_merges(documents: list[str], count: int) -> list[tuple[bytes, bytes]]:
    """What ``tokenizers`` learns."""
    from tokenizers import Tokenizer, models, trainers

    from towpath.tokenizer.bpe import ALPHABET, MIN_FREQUENCY, PATTERN, parse_merge, pieces_by

    learner = Tokenizer(models.BPE())
    learner.pre_tokenizer = pieces_by(PATTERN)
    trainer = trainers.BpeTrainer(
        vocab_size=256 + count,
        min_frequency=MIN_FREQUENCY,
        initial_alphabet=ALPHABET,
        show_progress=False,
    )
    learner.train_from_iterator(documents, trainer)
    return [parse_merge(merge, ROW) for merge in json.loads(learner.to_str())["model"]["merges"]]


def peak_mb(size_mb: float, count: int, times: int) -> float:
    """Peak memory of a process of its own that trains on the texts, read ``times`` times."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(_train_in_child, size_mb, count, times).result()


def _train_in_child(size_mb: float, count: int, times: int) -> float:
    from towpath.tokenizer.bpe import train_merges

    documents = corpus(size_mb)
    train_merges((document for _ in range(times) for document in documents), count)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
