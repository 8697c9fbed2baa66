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

import gzip
import pydoc
import tempfile
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path

from paired import SHARED, Side, arguments, paired, print_row

ROW = "warc to text"
UNIT = "pages/CPU-s"
ROUNDS = 5
DUMPS = SHARED / "raw"


def main() -> None:
    size_mb = arguments(__doc__, size_mb=4.0).parse_args().size_mb
    with tempfile.TemporaryDirectory() as folder:
        pages = corpus(size_mb)
        print(f"{len(pages)} pages, {sum(map(len, pages)) / 1e6:.1f} MB of HTML")
        archive = packed(pages, Path(folder) / "pages.warc.gz")
        measure(archive, len(pages))


def corpus(size_mb: float) -> list[bytes]:
    """Pages as they were served, ``size_mb`` at least: all of them once, then again until there is enough."""
    once = list(_pages())
    pages = list(once)
    while sum(map(len, pages)) < size_mb * 1e6:
        pages.extend(once)
    return pages


def _pages() -> Iterator[bytes]:
    if not DUMPS.is_dir():
        for name in ("argparse", "asyncio", "collections", "email", "json", "logging", "pathlib", "typing"):
            yield pydoc.html.page(name, pydoc.html.document(pydoc.locate(name), name)).encode()
        return
    for path in sorted((DUMPS / "web_html").glob("*.html.gz")):
        yield gzip.decompress(path.read_bytes())
    for _, content in responses(DUMPS / "commoncrawl" / "CC-MAIN-2020-34.sample.warc.gz"):
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


def measure(archive: Path, n_pages: int) -> None:
    sides = [
        side("towpath", ours, archive, n_pages),
        side(f"trafilatura {version('trafilatura')}", peer, archive, n_pages),
    ]
    print_row(ROW, paired(sides, ROUNDS, UNIT), UNIT)


def side(name: str, run: Callable[[Path], int], archive: Path, n_pages: int) -> Side:
    run(archive)  # what is loaded at the first page is not measured
    return Side(name, n_pages, lambda: f"{run(archive):,} characters of text")


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
