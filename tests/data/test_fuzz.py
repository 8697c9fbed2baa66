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

SECONDS = int(os.environ.get("TOWPATH_FUZZ_SECONDS", "4"))
SEED_BYTES = 24_000
SEEDS = 4
RSS_LIMIT_MB = 1_500  # with the interpreter, pyarrow and the instrumentation

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


MARK = b"\xff--\xff"
_BOOK = (
    b"META-INF/container.xml\n<container><rootfile full-path='O/p.opf'/></container>",
    b"O/p.opf\n<package><metadata><title>T</title></metadata><manifest><item id='a' href='a.xhtml' "
    b"media-type='application/xhtml+xml'/></manifest><spine><itemref idref='a'/></spine></package>",
    b"O/a.xhtml\n<html><body><h1>One</h1><p>First page.</p></body></html>",
)
_PAPER = (
    b"main.tex\n\\documentclass{a}\\newcommand{\\b}[1]{#1}\\begin{document}\\input{c}\\b{d}\\end{document}",
    b"c.tex\nwords $x^2$",
    b">../../d.tex\n",
)
_LINES = b'{"text": "a", "meta": {"pile_set_name": "Github"}}\n{"text": ["b", "c"]}\n'
_PAGE = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html><body><p>Words of a page.</p></body></html>"
CONTAINERS: dict[str, tuple[str, str, bytes]] = {
    "arxiv": ("arxiv", ".tar.gz", MARK.join(_PAPER)),
    "books": ("books", ".epub", MARK.join(_BOOK)),
    "lines of the pile": ("pile", ".jsonl.zst", _LINES),
    "pile": ("pile", ".tar", MARK.join([b"a.zst\n" + _LINES, b"b.zst\n" + _LINES])),
    "pubmed": (
        "pubmed",
        ".tar.gz",
        b"a.nxml\n<article><body><p>a</p></body></article>" + MARK + b"b.xml.gz\n<a/>",
    ),
    "warc": ("warc", ".warc.gz", MARK.join([b"response\n" + _PAGE, b"conversion\nwords", b"metadata\n{}"])),
}
"""Type, suffix, and what the fuzzer changes before ``fuzz_source`` packs it."""


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
    fuzz(kind, suffix, tmp_path, SECONDS)


@pytest.mark.slow
@pytest.mark.parametrize("name", CONTAINERS)
def test_no_member_of_a_valid_container_crashes_or_hangs_a_source(name: str, tmp_path: Path) -> None:
    pytest.importorskip("atheris")
    kind, suffix, seed = CONTAINERS[name]
    (tmp_path / "seeds").mkdir()
    (tmp_path / "found").mkdir()
    (tmp_path / "seeds" / "0").write_bytes(seed)
    fuzz(kind, suffix, tmp_path, SECONDS)


def fuzz(kind: str, suffix: str, folder: Path, seconds: int) -> None:
    """Run the fuzzer on the seeds in ``folder``."""
    script = Path(__file__).parent / "fuzz_source.py"
    limits = [
        f"-max_total_time={seconds}",
        f"-rss_limit_mb={RSS_LIMIT_MB}",
        "-timeout=3600",  # its alarm is the one of the parsers' time limit; fuzz_source looks at the time
        f"-artifact_prefix={folder}/",
        f"-max_len={2 * SEED_BYTES}",
    ]
    # The fuzzer looks at its highest memory, which a process takes over from the one that started it:
    # here a shell, and not the tests with everything that they have loaded by now.
    command = [
        sys.executable,
        str(script),
        kind,
        suffix,
        *limits,
        str(folder / "found"),
        str(folder / "seeds"),
    ]
    answer = subprocess.run(
        ["/bin/sh", "-c", '"$@"; exit $?', "sh", *command],
        capture_output=True,
        text=True,
        cwd=folder,
        timeout=60 + 4 * seconds,
        env={**os.environ, "TMPDIR": str(folder), "OMP_NUM_THREADS": "1"},
    )
    assert answer.returncode == 0, answer.stderr[-3000:]
    assert "Done" in answer.stderr
