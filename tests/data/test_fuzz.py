"""Every parser of files under a fuzzer: whatever the bytes, no crash, no hang, bounded memory.

Seeds are real files, cut to some kilobytes. ``TOWPATH_FUZZ_SECONDS`` makes each source's turn longer.
"""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

SECONDS = int(os.environ.get("TOWPATH_FUZZ_SECONDS", "8"))
SEED_BYTES = 24_000
SEEDS = 4
RSS_LIMIT_MB = 1_500  # with the interpreter, pyarrow and the instrumentation
SECONDS_PER_INPUT = 10  # under coverage and on a loaded machine; the parsers' own limit is 2

SOURCES: dict[str, tuple[str, str]] = {
    "arxiv": (".tex", "raw/arxiv/*"),
    "books": (".txt", "raw/ocr/*.txt"),
    "code_files": (".py", "raw/ocr/*.txt"),
    "documentation": (".rst", "pretrain/books/*.txt"),
    "files": (".jsonl", "pretrain/web/*.jsonl"),
    "html": (".html", "raw/web_html/*.html.gz"),
    "irc": (".txt", "raw/irc/*.txt"),
    "literature": (".txt", "pretrain/books/*.txt"),
    "mailing_list": (".mbox", "raw/ocr/*.txt"),
    "openwebtext2": (".jsonl", "pretrain/web/*.jsonl"),
    "pdf": (".pdf", "raw/pdf/*.pdf"),
    "pile": (".jsonl", "pretrain/web/*.jsonl"),
    "pubmed": (".nxml", "raw/pubmed/*"),
    "reddit": (".jsonl", "pretrain/web/*.jsonl"),
    "stack_exchange": (".xml", "raw/stackexchange/*"),
    "warc": (".warc", "raw/commoncrawl/*.warc.gz"),
    "wikipedia": (".xml", "raw/wikipedia/*"),
}
"""Type, the suffix that its files get, and real files to start from."""


def plain(path: Path) -> bytes:
    """The start of a file, decompressed."""
    openers: dict[str, Callable[..., object]] = {".gz": gzip.open}
    if path.suffix == ".bz2":
        import bz2

        openers[".bz2"] = bz2.open
    with openers.get(path.suffix, open)(path, "rb") as file:  # type: ignore[operator]
        return file.read(SEED_BYTES)  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.slow
@pytest.mark.parametrize("kind", SOURCES)
def test_no_bytes_crash_or_hang_a_source(kind: str, shared_data: Path, tmp_path: Path) -> None:
    pytest.importorskip("atheris")
    suffix, pattern = SOURCES[kind]
    seeds, found = tmp_path / "seeds", tmp_path / "found"
    seeds.mkdir()
    found.mkdir()
    for number, path in enumerate(sorted(shared_data.glob(pattern))[:SEEDS]):
        (seeds / f"{number}{suffix}").write_bytes(plain(path))
    assert any(seeds.iterdir()), pattern
    script = Path(__file__).parent / "fuzz_source.py"
    limits = [
        f"-max_total_time={SECONDS}",
        f"-rss_limit_mb={RSS_LIMIT_MB}",
        f"-timeout={SECONDS_PER_INPUT}",
        f"-artifact_prefix={tmp_path}/",
        f"-max_len={2 * SEED_BYTES}",
    ]
    answer = subprocess.run(
        [sys.executable, str(script), kind, suffix, *limits, str(found), str(seeds)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=60 + 4 * SECONDS,
        env={**os.environ, "TMPDIR": str(tmp_path), "OMP_NUM_THREADS": "1"},
    )
    assert answer.returncode == 0, answer.stderr[-3000:]
    assert "Done" in answer.stderr
