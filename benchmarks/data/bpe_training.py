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

import json
import resource
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from paired import Side, arguments, cut_texts, paired, print_row

ROW = "bpe training"
UNIT = "MB/CPU-s"
ROUNDS = 2


def main() -> None:
    parser = arguments(__doc__, size_mb=6.0)
    parser.add_argument("--vocab-size", type=int, default=16_384)
    options = parser.parse_args()
    measure(cut_texts(options.size_mb), options.vocab_size)


def measure(documents: list[str], vocab_size: int) -> None:
    from towpath.tokenizer.bpe import train_merges

    count = vocab_size - 256
    assert train_merges(documents[:100], 500) == peer_merges(documents[:100], 500)
    size_mb = sum(len(document.encode()) for document in documents) / 1e6
    print(f"{len(documents):,} documents, {size_mb:.1f} MB, {vocab_size:,} ids")
    sides = [
        Side("towpath", size_mb, lambda: f"{len(train_merges(documents, count)):,} merges"),
        Side("tokenizers", size_mb, lambda: f"{len(peer_merges(documents, count)):,} merges"),
    ]
    rates = paired(sides, ROUNDS, UNIT)
    for times in (1, 2):
        print(
            f"peak memory of training over the text read {times} x: {peak_mb(size_mb, count, times):.0f} MB"
        )
    print_row(ROW, rates, UNIT)


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

    documents = cut_texts(size_mb)
    train_merges((document for _ in range(times) for document in documents), count)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
