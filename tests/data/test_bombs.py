"""Every source of files against bombs: much from little, in every container that it reads.

Each bomb is read by a process of its own (this file as a program: ``python test_bombs.py TYPE PATH``), which
tells what came out, how long it took, and how far its memory rose above what the imports need.
"""

from __future__ import annotations

import bz2
import gzip
import io
import json
import subprocess
import sys
import tarfile
import time
import zipfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import zstandard

from towpath.core.errors import DataError
from towpath.data.document import Rejected
from towpath.data.sources import SOURCES
from towpath.data.sources.file_source import FileSource

SIZE_BYTES = 320 << 20
MANY_BYTES = 12 << 20
"""Size of those that are many records: they are parsed, and 30 times their size would be too much memory."""
BLOCK_BYTES = 1 << 20
MAX_MEMORY_MB = 512
MAX_SECONDS = 20
"""CPU time of a whole bomb, most of it for decompressing 320 MB; one document has two seconds."""
COMPRESSORS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": lambda raw: gzip.compress(raw, 6, mtime=0),
    ".bz2": bz2.compress,
    ".zst": zstandard.compress,
}


@dataclass(frozen=True)
class Shape:
    """What a bomb holds: ``unit`` again and again, between ``head`` and ``tail``."""

    suffix: str
    head: str
    unit: str
    tail: str = ""
    size_bytes: int = SIZE_BYTES

    def write(self, folder: Path, container: str) -> Path:
        """A file of ``self.size_bytes`` in ``container``, made of one compressed block after the other."""
        path = folder / f"bomb{self.suffix}{container}"
        compress = COMPRESSORS[container]
        block = compress((self.unit * (BLOCK_BYTES // len(self.unit))).encode())
        with path.open("wb") as file:
            file.write(compress(self.head.encode()))
            for _ in range(self.size_bytes // BLOCK_BYTES):
                file.write(block)
            file.write(compress(self.tail.encode()))
        return path


MAIL = "From a at b.org Mon Jan  1 10:00:00 2007\nMessage-ID: <1@x>\nIn-Reply-To: <1@x>\n\n"
COMMENT = '{"id": "c", "link_id": "t3_a", "parent_id": "t3_a", "body": "' + "word " * 400 + '"}\n'
ANSWER = '<row Id="2" PostTypeId="2" ParentId="1" Body="' + "word " * 400 + '"/>\n'
ARTICLE = "<article><front><article-title>T</article-title></front><body>"
PAGE = "<mediawiki><page><title>T</title><ns>0</ns><revision><text>"
SHAPES: dict[str, list[Shape]] = {
    "arxiv": [Shape(".tex", "\\documentclass{a}\\begin{document}", "word ")],
    "books": [Shape(".txt", "", "word ")],
    "documentation": [
        Shape(".rst", "", "a\n=\n", size_bytes=MANY_BYTES),
        Shape(".md", "", "word "),
        Shape(".html", "<p>", "word "),
    ],
    "files": [
        Shape(".txt", "", "word"),
        Shape(".txt", "", "some words of a line of a usual length\n" * 50 + "\n", size_bytes=MANY_BYTES),
        Shape(".jsonl", '{"text": "', "word", '"}\n{"text": "last"}\n'),
        Shape(".jsonl", '{"text": "a"}\n', "[" * 100 + "\n", size_bytes=MANY_BYTES),
    ],
    "html": [Shape(".html", "<p>", "word "), Shape(".html", "", "<div>")],
    "irc": [
        Shape(".txt", "[10:00] <a> ", "word "),
        Shape(".log", "", "[10:00] <a> " + "word " * 10_000 + "\n", size_bytes=MANY_BYTES),
    ],
    "literature": [
        Shape(".txt", "", "word"),
        Shape(".txt", "", "some words of a line\n", size_bytes=MANY_BYTES),
    ],
    "mailing_list": [
        Shape(".mbox", MAIL, "word"),
        Shape(".mbox", MAIL, "word\n", size_bytes=MANY_BYTES),
        Shape(".mbox", "", MAIL + "word " * 100_000 + "\n\n", size_bytes=MANY_BYTES),
    ],
    "openwebtext2": [Shape(".jsonl", '{"text": "', "word", '"}\n{"text": "last"}\n')],
    "pile": [Shape(".jsonl", '{"text": ["a"', ', "a"', ']}\n{"text": "last"}\n')],
    "pubmed": [
        Shape(".nxml", ARTICLE + "<p>", "word ", "</p></body></article>"),
        Shape(".nxml", ARTICLE, "<p>a</p>", "</body></article>", MANY_BYTES),
        Shape(".nxml", ARTICLE, "<p>"),
        Shape(".xml", ARTICLE + "<p a='", "word ", "'/></body></article>"),
    ],
    "reddit": [
        Shape(".jsonl", '{"id": "a", "title": "T", "selftext": "', "word ", '"}\n'),
        Shape(".jsonl", "", COMMENT, size_bytes=MANY_BYTES),
    ],
    "stack_exchange": [
        Shape(".xml", "<posts><row Id='1' PostTypeId='1' Body='", "word ", "'/></posts>"),
        Shape(".xml", "<posts><row Id='1' PostTypeId='1' Body='q'/>", ANSWER, "</posts>", MANY_BYTES),
        Shape(".xml", "<posts>", "<row>"),
    ],
    "warc": [
        Shape(".warc", "WARC/1.0\r\nWARC-Type: conversion\r\nContent-Length: 335544320\r\n\r\n", "word "),
        Shape(".warc", "WARC/1.0\r\nWARC-Type: ", "word "),
        Shape(".warc.wet", "", "WARC/1.0\r\n"),
    ],
    "wikipedia": [
        Shape(".xml", PAGE, "word ", "</text></revision></page></mediawiki>"),
        Shape(".xml", PAGE, "{{", "</text></revision></page></mediawiki>"),
        Shape(".xml", "<mediawiki><siteinfo><base>", "word "),
        Shape(".xml", "<mediawiki>", "<page>"),
    ],
}


def zeros(size_bytes: int) -> io.BufferedReader:
    """So many letters, without holding them."""

    class Letters(io.RawIOBase):
        left = size_bytes

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: Any, /) -> int:
            size = min(len(buffer), self.left)
            buffer[:size] = b"a" * size
            self.left -= size
            return size

    return io.BufferedReader(Letters(), 1 << 20)


def tar_of(path: Path, name: str, size_bytes: int, kind: bytes = tarfile.REGTYPE) -> Path:
    """A compressed tar whose one member, or header, holds ``size_bytes``."""
    entry = tarfile.TarInfo(name)
    entry.size, entry.type = size_bytes, kind
    with tarfile.open(path, "w:gz", compresslevel=1) as archive:
        archive.addfile(entry, zeros(size_bytes))
    return path


def tar_of_many(path: Path, name: str, kind: bytes = tarfile.REGTYPE) -> Path:
    """A compressed tar of 100,000 empty members, or of headers without a file."""
    entry = tarfile.TarInfo(name)
    entry.type = kind
    if kind in (tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE):
        entry.size = 512
    block = entry.tobuf(tarfile.GNU_FORMAT) + bytes(entry.size)
    with gzip.open(path, "wb", compresslevel=1) as file:
        for _ in range(100):
            file.write(block * 1_000)
    return path


def pile_tar(path: Path) -> Path:
    """A tar of one Zstandard member that holds 320 MB."""
    inner = Shape(".zst", '{"text": "', "word", '"}\n').write(path.parent, ".zst")
    with tarfile.open(path, "w") as archive:
        archive.add(inner, "a.jsonl.zst")
    inner.unlink()
    return path


def epub(path: Path, page: str = "O/a.xhtml", n_pages: int = 1) -> Path:
    """A book whose page, or whose package or container, is 320 MB; or one with very many pages."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        files = {
            "META-INF/container.xml": "<container><rootfile full-path='O/p.opf'/></container>",
            "O/p.opf": "<package><manifest><item id='a' href='a.xhtml' media-type='application/xhtml+xml'/>"
            "</manifest><spine><itemref idref='a'/></spine></package>",
        }
        for name, content in files.items():
            if name != page:
                archive.writestr(name, content)
        for number in range(n_pages):
            with archive.open(page if number == 0 else f"{number}", "w") as file:
                for _ in range(SIZE_BYTES // BLOCK_BYTES if n_pages == 1 else 0):
                    file.write(b"a" * BLOCK_BYTES)
    return path


def pdf(path: Path, filters: int = 1) -> Path:
    """A page whose content is 320 MB of text, compressed once or twice."""
    import zlib

    packer = zlib.compressobj(9)
    content = [packer.compress(b"BT /F1 12 Tf 50 50 Td ")]
    content += [
        packer.compress(b"(word) Tj " * (BLOCK_BYTES // 10)) for _ in range(SIZE_BYTES // BLOCK_BYTES)
    ]
    stream = b"".join([*content, packer.compress(b" ET"), packer.flush()])
    for _ in range(filters - 1):
        stream = zlib.compress(stream, 9)
    names = "/FlateDecode " * filters
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 200 200]/Contents 4 0 R/Resources<</Font<</F1 5 0 R>>>>>>",
        f"<</Length {len(stream)}/Filter[{names}]>>stream\n".encode() + stream + b"\nendstream",
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
    ]
    body = b"".join(b"%d 0 obj%bendobj\n" % (number, item) for number, item in enumerate(objects, 1))
    path.write_bytes(b"%PDF-1.4\n" + body + b"trailer<</Root 1 0 R>>\n%%EOF")
    return path


def warc_of(path: Path, head: bytes, encoding: str = "") -> Path:
    """A response whose HTTP header or body, which may be compressed once more, is 320 MB."""
    body = gzip.compress(b"<p>" + b"a" * SIZE_BYTES, 1) if encoding else b"a" * SIZE_BYTES
    http = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n" + head + body
    start = b"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: http://a.b/\r\n"
    start += b"Content-Type: application/http; msgtype=response\r\nContent-Length: %d\r\n\r\n" % len(http)
    path.write_bytes(gzip.compress(start + http + b"\r\n\r\n", 1))
    return path


def code(folder: Path) -> Path:
    """A folder whose only file, and whose licence, are 320 MB."""
    for name in ("a.py", "LICENSE"):
        with (folder / name).open("wb") as file:
            file.truncate(SIZE_BYTES)
    return folder


LONG_NAME, PAX = tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE
ARCHIVES: dict[str, tuple[str, Callable[[Path], Path]]] = {
    "arxiv of one file": ("arxiv", lambda folder: tar_of(folder / "2101.00001.tar.gz", "a.tex", SIZE_BYTES)),
    "arxiv of many files": ("arxiv", lambda folder: tar_of_many(folder / "2101.00001.tar.gz", "a.tex")),
    "arxiv in bulk": (
        "arxiv",
        lambda folder: tar_of(folder / "arXiv_src_2101_001.tar.gz", "a.gz", SIZE_BYTES),
    ),
    "books of one page": ("books", lambda folder: epub(folder / "a.epub")),
    "books with a package": ("books", lambda folder: epub(folder / "a.epub", "O/p.opf")),
    "books of many pages": ("books", lambda folder: epub(folder / "a.epub", n_pages=70_000)),
    "code_files": ("code_files", code),
    "pdf": ("pdf", lambda folder: pdf(folder / "a.pdf")),
    "pdf compressed twice": ("pdf", lambda folder: pdf(folder / "a.pdf", 2)),
    "pile in a tar": ("pile", lambda folder: pile_tar(folder / "a.jsonl.zst.tar")),
    "pile with a name": ("pile", lambda folder: tar_of(folder / "a.tar.gz", "a", SIZE_BYTES, LONG_NAME)),
    "pubmed of one file": ("pubmed", lambda folder: tar_of(folder / "a.tar.gz", "a.nxml", SIZE_BYTES)),
    "pubmed of many files": ("pubmed", lambda folder: tar_of_many(folder / "a.tar.gz", "a.nxml")),
    "pubmed with a name": ("pubmed", lambda folder: tar_of(folder / "a.tar.gz", "a", SIZE_BYTES, LONG_NAME)),
    "pubmed with a header": ("pubmed", lambda folder: tar_of(folder / "a.tar.gz", "a", SIZE_BYTES, PAX)),
    "pubmed of headers": ("pubmed", lambda folder: tar_of_many(folder / "a.tar.gz", "a", LONG_NAME)),
    "warc of one page": ("warc", lambda folder: warc_of(folder / "a.warc.gz", b"\r\n")),
    "warc with a header": ("warc", lambda folder: warc_of(folder / "a.warc.gz", b"X: ")),
    "warc compressed twice": (
        "warc",
        lambda folder: warc_of(folder / "a.warc.gz", b"Content-Encoding: gzip\r\n\r\n", "gzip"),
    ),
}
"""Bombs in containers that only some sources read."""


def read_in_a_process(kind: str, path: Path) -> dict[str, Any]:
    """What this file as a program tells of ``path``, read by the source ``kind``."""
    answer = subprocess.run(
        [sys.executable, __file__, kind, str(path)], capture_output=True, text=True, timeout=100
    )
    assert answer.returncode == 0, answer.stderr[-2_000:]
    return json.loads(answer.stdout)


def assert_bounded(told: dict[str, Any]) -> None:
    """The bomb was read or refused in time, within memory, and nothing disappeared."""
    assert not told["error"] or "bomb" in told["error"] or "a." in told["error"], told
    assert told["documents"] or told["rejected"] or told["error"], told
    assert told["memory_mb"] <= MAX_MEMORY_MB, told
    assert told["children_mb"] <= MAX_MEMORY_MB + 150, told  # the child's interpreter counts too
    assert told["cpu_seconds"] <= MAX_SECONDS, told


def tell(kind: str, path: str) -> dict[str, Any]:
    """Read ``path`` and measure."""
    source_class = SOURCES.load(kind)
    warm_up()
    before, started = memory_mb("VmRSS"), time.process_time()
    reasons: Counter[str] = Counter()
    told: dict[str, Any] = {"documents": 0, "error": "", "max_chars": 0}
    try:
        source = source_class.model_validate({"path": path})
        assert isinstance(source, FileSource) or kind == "code_files"
        for item in source.documents():  # pyright: ignore[reportAttributeAccessIssue]
            document = item.document if isinstance(item, Rejected) else item
            told["max_chars"] = max(told["max_chars"], len(document.text))
            if isinstance(item, Rejected):
                reasons[item.reason] += 1
            else:
                told["documents"] += 1
    except DataError as error:
        told["error"] = str(error)
    told["cpu_seconds"] = round(time.process_time() - started, 2)
    told["memory_mb"] = memory_mb("VmHWM") - before
    children = Path("/proc/self/task").glob("*/children")
    pids = [pid for file in children for pid in file.read_text().split()]
    told["children_mb"] = max((memory_mb("VmHWM", pid) for pid in pids), default=0)
    return {**told, "rejected": dict(reasons)}


def warm_up() -> None:
    """Import what reading needs."""
    import fastwarc.warc
    import pyarrow
    import resiliparse.extract.html2text
    import resiliparse.parse.html

    for module in (fastwarc.warc, pyarrow, resiliparse.extract.html2text, resiliparse.parse.html):
        assert module


def memory_mb(name: str, pid: str = "self") -> int:
    """The memory of a process in MB, as Linux counts it."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next((line for line in lines if line.startswith(name)), "x 0 kB").split()[1]) // 1024


needs_proc = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is measured by Linux")
EACH_SHAPE = [
    pytest.param(kind, shape, container, id=f"{kind}-{number}{shape.suffix}{container}")
    for kind, shapes in SHAPES.items()
    for number, shape in enumerate(shapes)
    for container in (COMPRESSORS if number == 0 else (".gz",))
]
"""The first shape of each source in every container, the others in one: all open them by one function."""


@needs_proc
@pytest.mark.slow
@pytest.mark.parametrize(("kind", "shape", "container"), EACH_SHAPE)
def test_a_bomb_is_read_within_memory_and_time(
    kind: str, shape: Shape, container: str, tmp_path: Path
) -> None:
    path = shape.write(tmp_path, container)
    assert_bounded(read_in_a_process(kind, path))
    path.unlink()


@needs_proc
@pytest.mark.slow
@pytest.mark.parametrize("name", ARCHIVES)
def test_an_archive_that_is_a_bomb_is_read_within_memory_and_time(name: str, tmp_path: Path) -> None:
    kind, build = ARCHIVES[name]
    assert_bounded(read_in_a_process(kind, build(tmp_path)))


@needs_proc
def test_a_line_of_600_megabytes_is_kept_aside_and_the_rest_is_read(tmp_path: Path) -> None:
    shape = Shape(".txt", "first line\n", "word", "\nlast line\n", 600 << 20)
    for kind in ("files", "literature"):
        told = read_in_a_process(kind, shape.write(tmp_path, ".gz"))
        assert_bounded(told)
        assert (told["documents"], told["rejected"]) == (2, {"record_too_long": 1})
        assert told["max_chars"] <= 1 << 16


def test_every_source_of_files_has_a_bomb() -> None:
    kinds = {kind for kind in SOURCES.names() if "path" in SOURCES.load(kind).model_fields}
    assert kinds == {*SHAPES, *(kind for kind, _ in ARCHIVES.values())}


if __name__ == "__main__":
    print(json.dumps(tell(*sys.argv[1:])))
