"""Near duplicates by MinHash from texts to components, against datatrove, Daft and datasketch.

    python benchmarks/data/minhash_end_to_end.py [--size-mb 24]

Documents of about 4 kB, one in ten a copy of an earlier one in which 1 % of the words were replaced.
All take 14 bands of 8 hashes of runs of 5 words. Ours is what the room runs: signatures, then groups of
rows whose signatures agree. datatrove 0.10.1 runs its four stages (signatures, buckets, cluster, filter)
over files as it always does; of Daft it is the built-in ``minhash`` of lower-case words, a group-by of
each band and a union of what is together in one; of datasketch ``MinHash.bulk`` of the same runs, its
LSH index, and a union of what it finds. The slow ones read fewer documents. Documents a second of CPU
time of one process, the median of rounds in turn; the row's peer is datatrove.
"""

from __future__ import annotations

import os
import random
import tempfile
from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import version
from pathlib import Path

from paired import Side, arguments, drawn_paragraphs, paired, print_row

ROW = "minhash end to end"
UNIT = "documents/CPU-s"
ROUNDS = 3
BANDS, PER_BAND, WORDS, MIN_SIMILARITY = 14, 8, 5, 0.75
COPIES, EDITS = 0.1, 0.01  # share of documents that are copies, of their words that are replaced
DATATROVE_DOCUMENTS, DATASKETCH_DOCUMENTS = 300, 1_000


def main() -> None:
    measure(with_copies(drawn_paragraphs(arguments(__doc__, size_mb=24.0).parse_args().size_mb)))


def with_copies(texts: list[str]) -> list[str]:
    """``texts``, one in ten of them an edited copy of one of the twenty before it."""
    draw = random.Random(1)
    for place in range(20, len(texts)):
        if draw.random() < COPIES:
            words = texts[place - draw.randint(1, 20)].split(" ")
            for _ in range(int(EDITS * len(words))):
                words[draw.randrange(len(words))] = f"edit{draw.randrange(10**6)}"
            texts[place] = " ".join(words)
    return texts


def measure(texts: list[str]) -> None:
    sides = [
        side("towpath", ours, texts),
        side(f"datatrove {version('datatrove')}", by_datatrove, texts[:DATATROVE_DOCUMENTS]),
        side(f"daft {version('daft')}", by_daft, texts),
        side(f"datasketch {version('datasketch')}", by_datasketch, texts[:DATASKETCH_DOCUMENTS]),
    ]
    print_row(ROW, paired(sides, ROUNDS, UNIT), UNIT)


def side(name: str, run: Callable[[Sequence[str]], int], texts: Sequence[str]) -> Side:
    run(texts[:30])  # what is loaded once is loaded before anything is measured
    return Side(name, len(texts), lambda: f"{run(texts):,} kept")


def ours(texts: Sequence[str]) -> int:
    import numpy as np
    import pyarrow as pa

    from towpath.data.dedup.near import near_duplicates
    from towpath.data.hashing import signatures

    n_hashes = BANDS * PER_BAND
    column = signatures(pa.array(texts, pa.large_string()), n_hashes, WORDS)
    rows = np.frombuffer(column.buffers()[1], np.uint32).reshape(-1, n_hashes)
    first = near_duplicates(rows, BANDS, MIN_SIMILARITY)
    return int((first == np.arange(len(first))).sum())


def by_datatrove(texts: Sequence[str]) -> int:
    import xxhash
    from datatrove.data import Document
    from datatrove.pipeline.dedup.minhash import (
        MinhashConfig,
        MinhashDedupBuckets,
        MinhashDedupCluster,
        MinhashDedupFilter,
        MinhashDedupSignature,
    )

    config = MinhashConfig(num_buckets=BANDS, hashes_per_bucket=PER_BAND, n_grams=WORDS)
    documents = [Document(text=text, id=str(number)) for number, text in enumerate(texts)]
    with tempfile.TemporaryDirectory() as folder:
        stages = [str(Path(folder) / name) for name in ("signatures", "buckets", "remove")]
        first = MinhashDedupSignature(stages[0], config=config)
        first._hash_func = lambda text: xxhash.xxh64_intdigest(text.encode())  # xxhash 4 hashes bytes alone
        first.run(iter(documents))
        for rank in range(BANDS):
            MinhashDedupBuckets(stages[0], stages[1], config=config).run(None, rank, BANDS)
        MinhashDedupCluster(stages[1], stages[2], config=config).run(None, 0, 1)
        return sum(1 for _ in MinhashDedupFilter(stages[2]).run(iter(documents)))


def by_daft(texts: Sequence[str]) -> int:
    os.environ.update(DAFT_ANALYTICS_ENABLED="0", DAFT_PROGRESS_BAR="0")
    import daft
    from daft.functions import hash, list_agg, minhash, normalize, slice

    col = daft.col
    rows = daft.from_pydict({"row": list(range(len(texts))), "text": list(texts)})
    words = normalize(col("text"), remove_punct=True, lowercase=True, white_space=True)
    hashes = minhash(words, num_hashes=BANDS * PER_BAND, ngram_size=WORDS, hash_function="xxhash")
    rows = rows.select(col("row"), hashes.alias("hashes")).collect()
    starts = range(0, BANDS * PER_BAND, PER_BAND)
    keys = [hash(slice(col("hashes"), start, start + PER_BAND)).alias(str(start)) for start in starts]
    rows = rows.select(col("row"), *keys).collect()
    groups: list[list[int]] = []
    for start in starts:
        grouped = rows.groupby(str(start)).agg(list_agg(col("row")), col("row").count().alias("n"))
        groups += grouped.where(col("n") > 1).to_pydict()["row"]
    return components(len(texts), groups)


def by_datasketch(texts: Sequence[str]) -> int:
    from datasketch import MinHash, MinHashLSH

    from towpath.data.kernels.minhash import shingles

    runs = [[" ".join(run).encode() for run in shingles(text, WORDS)] for text in texts]
    index = MinHashLSH(num_perm=BANDS * PER_BAND, params=(BANDS, PER_BAND))
    groups = []
    for row, found in enumerate(MinHash.bulk(runs, num_perm=BANDS * PER_BAND)):
        groups.append([row, *index.query(found)])
        index.insert(row, found)
    return components(len(texts), groups)


def components(n_rows: int, groups: Iterable[Sequence[int]]) -> int:
    """How many there are when each group is one."""
    parent = list(range(n_rows))

    def find(row: int) -> int:
        while parent[row] != row:
            parent[row] = parent[parent[row]]
            row = parent[row]
        return row

    for group in groups:
        for row in group[1:]:
            parent[find(row)] = find(group[0])
    return sum(find(row) == row for row in range(n_rows))


if __name__ == "__main__":
    main()
