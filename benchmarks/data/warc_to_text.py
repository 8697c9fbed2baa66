"""WARC to text, against trafilatura with the settings that datatrove gives it.

    python benchmarks/data/warc_to_text.py [--size-mb 4]

The pages of the article-extraction-benchmark and a Common Crawl sample from the shared data, else pages
that pydoc writes about Python's modules, are packed into one .warc.gz. Ours is the source ``warc`` with
its defaults: reading, decoding, extraction, owner's signals. The peer reads the archive with fastwarc too
(its own reader, warcio, is slower) and calls datatrove's extractor in this process, without the child
process that datatrove puts around it. Both read the same archive in one process, in turn, pages a second
of CPU time, the median of rounds.
"""

from __future__ import annotations

import argparse
import gzip
import json
import pydoc
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROW = "warc to text"
ROUNDS = 5
SHARED = Path(__file__).resolve().parents[3] / "shared" / "data" / "raw"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--size-mb", type=float, default=4.0, help="HTML, at least; pages are read again for it"
    )
    size_mb = parser.parse_args().size_mb
    with tempfile.TemporaryDirectory() as folder:
        pages = corpus(size_mb)
        print(f"{len(pages)} pages, {sum(map(len, pages)) / 1e6:.1f} MB of HTML")
        archive = packed(pages, Path(folder) / "pages.warc.gz")
        print(json.dumps(measure(archive, len(pages))))


def corpus(size_mb: float) -> list[bytes]:
    """Pages as they were served; all of them once, then again until there is enough."""
    once = list(_pages())
    pages = list(once)
    while sum(map(len, pages)) < size_mb * 1e6:
        pages.extend(once)
    return pages


def _pages() -> Iterator[bytes]:
    if not SHARED.is_dir():
        for name in ("argparse", "asyncio", "collections", "email", "json", "logging", "pathlib", "typing"):
            yield pydoc.html.page(name, pydoc.html.document(pydoc.locate(name), name)).encode()
        return
    for path in sorted((SHARED / "web_html").glob("*.html.gz")):
        yield gzip.decompress(path.read_bytes())
    for _, content in responses(SHARED / "commoncrawl" / "CC-MAIN-2020-34.sample.warc.gz"):
        yield content


def packed(pages: Sequence[bytes], path: Path) -> Path:
    """A .warc.gz with ``pages`` as successful responses."""
    with path.open("wb") as file:
        for number, page in enumerate(pages):
            payload = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n" + page
            header = (
                "WARC/1.0\r\nWARC-Type: response\r\nWARC-Date: 2024-05-18T01:58:10Z\r\n"
                f"WARC-Target-URI: https://example.org/{number}\r\n"
                "Content-Type: application/http; msgtype=response\r\n"
                f"Content-Length: {len(payload)}\r\n\r\n"
            )
            file.write(gzip.compress(header.encode() + payload + b"\r\n\r\n", 6))
    return path


def responses(path: Path) -> Iterator[tuple[str, bytes]]:
    """Address and body of each response of an archive."""
    from fastwarc.warc import ArchiveIterator, WarcRecordType

    for record in ArchiveIterator(str(path), record_types=WarcRecordType.response, fsspec_args=False):
        yield record.headers.get("WARC-Target-URI"), record.reader.read()


def measure(archive: Path, n_pages: int) -> dict[str, Any]:
    runs: dict[str, Callable[[Path], int]] = {"towpath": ours, f"trafilatura {version('trafilatura')}": peer}
    for run in runs.values():  # what is loaded at the first page is not measured
        run(archive)
    rates: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(ROUNDS):
        for name, run in runs.items():
            start = time.process_time()
            n_chars = run(archive)
            seconds = time.process_time() - start
            rates[name].append(n_pages / seconds)
            print(f"{name}: {n_pages} pages, {n_chars:,} characters of text, {n_pages / seconds:.1f} pages/s")
    mine, theirs = (statistics.median(found) for found in rates.values())
    return {
        "row": ROW,
        "ours": round(mine, 1),
        "peer": round(theirs, 1),
        "ratio": round(mine / theirs, 1),
        "unit": "pages/CPU-s",
    }


def ours(path: Path) -> int:
    from towpath.data.document import Document
    from towpath.data.sources.warc import WarcSource

    return sum(
        len(item.text) for item in WarcSource(path=str(path)).documents() if isinstance(item, Document)
    )


def peer(path: Path) -> int:
    from datatrove.pipeline.extractors import Trafilatura
    from resiliparse.parse.encoding import bytes_to_str, detect_encoding
    from trafilatura.deduplication import LRU_TEST

    LRU_TEST.clear()  # else text that it saw in earlier rounds is left out, which also takes it longer
    extractor = Trafilatura()
    n_chars = 0
    for _, content in responses(path):
        try:
            html = content.decode()
        except UnicodeDecodeError:
            html = bytes_to_str(content, detect_encoding(content))
        n_chars += len(extractor.extract(html) or "")
    return n_chars


if __name__ == "__main__":
    main()
