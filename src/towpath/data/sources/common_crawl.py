"""Common Crawl: archives of one crawl, downloaded by segment or by number, then read like any WARC.

A crawl's listing (https://commoncrawl.org/get-started) names its files, each about 1 GB; which of them
are wanted is said by ``segments``, ``files`` or both. They come over HTTPS, or from S3 with
``base_url = "s3://commoncrawl"``, one after the other, and each is a piece. Documents and their
offsets are those of the source ``warc``; ``path`` is the path in the crawl.
"""

from __future__ import annotations

import gzip
import hashlib
import re
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Literal

from pydantic import Field, model_validator

from towpath.core.config import Execution
from towpath.core.errors import DataError, did_you_mean
from towpath.data.document import Document, Rejected
from towpath.data.sources import Digest, Piece, Source
from towpath.data.sources.html_text import HtmlConfig
from towpath.data.sources.remote import PatienceConfig, download
from towpath.data.sources.warc import WarcSource

_SEGMENT = re.compile(r"/segments/([^/]+)/")
_MAX_LISTING_BYTES = 256 << 20


class CommonCrawlSource(Source):
    """Pages of a crawl."""

    type: Literal["common_crawl"] = "common_crawl"
    crawl: str = Field(pattern=r"^CC-[A-Z]+-[0-9]{4}-[0-9]{2}$")
    """The crawl's name, for example "CC-MAIN-2024-22"."""
    keep: Literal["warc", "wet"] = "warc"
    """What is downloaded: pages as HTML, or Common Crawl's own plain text, a tenth of the size."""
    segments: tuple[str, ...] = ()
    """Names of segments, for example "1715971057216.39"; all that the crawl has when none is given."""
    files: tuple[int, int] | None = None
    """First and last number of the files wanted, counted from 0 among those of ``segments``."""
    base_url: str = "https://data.commoncrawl.org"
    """What the paths of the listing are below: https, s3 or a folder (file://)."""
    cache: Execution[str] = "~/.cache/towpath/common-crawl"
    """Folder for what was downloaded."""
    patience: Execution[PatienceConfig] = PatienceConfig()
    """How long a download is tried."""
    html: HtmlConfig = HtmlConfig()
    """How text is taken out of pages."""

    @model_validator(mode="after")
    def _something_is_chosen(self) -> CommonCrawlSource:
        if not self.segments and self.files is None:
            raise ValueError("a crawl is about 100 TB; choose some of it with 'segments' or 'files'.")
        if self.files is not None and not 0 <= self.files[0] <= self.files[1]:
            raise ValueError(f"files = {list(self.files)}: expected first <= last, both from 0 on.")
        return self

    def paths(self) -> list[str]:
        """Paths of the chosen files below ``base_url``, in the listing's order.

        Raises:
            DataError: the listing can't be had, or has no such segment or file.
        """
        listing = f"crawl-data/{self.crawl}/{self.keep}.paths.gz"
        return chosen(read_listing(self._fetched(listing)), self.segments, self.files)

    def pieces(self) -> Sequence[Piece]:
        """One a file, downloaded or not; the size is 0 until it is."""
        return [Piece(path, _size_bytes(self._place(path))) for path in self.paths()]

    def read(self, piece: Piece) -> Iterator[Document | Rejected]:
        """The pages of one file, which is downloaded first if it isn't there."""
        return self._reader().read_file(self._fetched(piece.place), piece.place)

    def fingerprint(self, sha256: Digest) -> str:
        """Digest of the files' paths and content; downloads what isn't there."""
        digest = hashlib.sha256()
        for path in self.paths():
            digest.update(f"{path}\0{sha256(self._fetched(path))}\n".encode())
        return digest.hexdigest()

    def download(self) -> Iterator[Path]:
        """Fetch the chosen files one after the other, with a progress bar on a terminal."""
        from tqdm import tqdm

        paths = self.paths()
        for number, path in enumerate(paths, 1):
            title = f"{number}/{len(paths)} {PurePosixPath(path).name}"
            with tqdm(desc=title, unit="B", unit_scale=True, disable=None, leave=False) as bar:
                yield download(self._url(path), self._place(path), self.patience, bar.update)

    def _reader(self) -> WarcSource:
        shared = {
            name: getattr(self, name) for name in ("name", "domain", "category", "licence", "weight", "html")
        }
        return WarcSource(path=self.cache, **shared)

    def _fetched(self, path: str) -> Path:
        return download(self._url(path), self._place(path), self.patience)

    def _url(self, path: str) -> str:
        return f"{self.base_url.rstrip('/')}/{path}"

    def _place(self, path: str) -> Path:
        return Path(self.cache).expanduser() / path


def read_listing(path: Path) -> list[str]:
    """The paths that a crawl's ``*.paths.gz`` names.

    Raises:
        DataError: it is damaged, too large, or names a path outside its crawl.
    """
    try:
        with gzip.open(path) as stream:
            content = stream.read(_MAX_LISTING_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} is no list of paths: {error}. Delete it to download it again.") from error
    if len(content) > _MAX_LISTING_BYTES:
        raise DataError(f"{path} holds more than {_MAX_LISTING_BYTES:,} bytes once decompressed.")
    paths = [line.strip() for line in content.decode("utf-8", "replace").splitlines() if line.strip()]
    for listed in paths:
        if listed.startswith("/") or "\\" in listed or ".." in PurePosixPath(listed).parts:
            raise DataError(f"{path} names {listed!r}, which is outside of the crawl; it was refused.")
    return paths


def chosen(listing: Sequence[str], segments: Sequence[str], files: tuple[int, int] | None) -> list[str]:
    """Those paths of ``listing`` that are in one of ``segments`` (all, when none is given) and among
    them those numbered ``files[0]`` to ``files[1]``.

    Raises:
        DataError: the listing has no such segment or file.
    """
    of_segment = {path: match[1] for path in listing if (match := _SEGMENT.search(path))}
    known = set(of_segment.values())
    for segment in segments:
        if segment not in known:
            raise DataError(
                f"The listing has no segment {segment!r}.{did_you_mean(segment, known)} "
                f"It has {len(known):,}, for example {min(known, default='none')!r}."
            )
    paths = [path for path in listing if not segments or of_segment.get(path) in segments]
    if files is None:
        return paths
    if files[0] >= len(paths):
        raise DataError(f"files = {list(files)}: there are {len(paths):,} files, numbered from 0.")
    return paths[files[0] : files[1] + 1]


def _size_bytes(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0
