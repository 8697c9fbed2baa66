"""Common Crawl over HTTP from a server on this machine that breaks connections and asks for patience."""

from __future__ import annotations

import gzip
import json
import pickle
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from pydantic import ValidationError

from towpath.core.errors import DataError
from towpath.data.document import Document
from towpath.data.sources import SOURCES
from towpath.data.sources.common_crawl import CommonCrawlSource, chosen, read_listing
from towpath.data.sources.remote import PatienceConfig, download, is_whole

pytest.importorskip("aiohttp", reason="needs the extra remote")

QUICK = {"first_wait_seconds": 0.001, "max_wait_seconds": 0.2, "attempts": 4}
CRAWL = "CC-MAIN-2024-22"


@dataclass
class Site:
    """What the server has, and how it misbehaves."""

    files: dict[str, bytes] = field(default_factory=dict)
    url: str = ""
    knows_ranges: bool = True
    break_after: int | None = None
    """Bytes of a body after which the connection is closed."""
    breaks: int = 10**9
    """How many times that happens."""
    busy: int = 0
    """How many requests are answered with 503 first."""
    ranges: list[str] = field(default_factory=list)
    """Range headers of the GET requests, "" for none."""


@pytest.fixture
def site() -> Iterator[Site]:
    state = Site()

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.answer(body=False)

        def do_GET(self) -> None:
            state.ranges.append(self.headers.get("Range", ""))
            self.answer(body=True)

        def answer(self, body: bool) -> None:
            content = state.files.get(self.path)
            if state.busy > 0:
                state.busy -= 1
                self.send_response(503)
                self.send_header("Retry-After", "0")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            if content is None:
                self.send_error(404)
                return
            asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
            start, end, status = 0, len(content), 200
            if asked and state.knows_ranges:
                start, end, status = int(asked[1]), min(int(asked[2]) + 1, len(content)), 206
            self.send_response(status)
            self.send_header("Content-Length", str(end - start))
            self.send_header("ETag", f'"{hash(content)}"')
            if status == 206:
                self.send_header("Content-Range", f"bytes {start}-{end - 1}/{len(content)}")
            self.end_headers()
            if body:
                self.send_body(content[start:end])

        def send_body(self, part: bytes) -> None:
            limit = state.break_after
            if limit is not None and state.breaks > 0 and len(part) > limit:
                state.breaks -= 1
                self.wfile.write(part[:limit])
                self.close_connection = True
            else:
                self.wfile.write(part)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield state
    server.shutdown()
    server.server_close()


CONTENT = bytes(range(256)) * 2_000  # 512 kB


def patience(**settings: object) -> PatienceConfig:
    return PatienceConfig.model_validate({**QUICK, **settings})


def test_a_file_is_downloaded_once_and_checked_on_every_use(site: Site, tmp_path: Path) -> None:
    site.files["/a.bin"] = CONTENT
    target = tmp_path / "deep" / "a.bin"
    arrived: list[int] = []
    assert download(f"{site.url}/a.bin", target, patience(), arrived.append).read_bytes() == CONTENT
    assert sum(arrived) == len(CONTENT)
    assert [path.name for path in sorted(target.parent.iterdir())] == ["a.bin", "a.bin.json"]
    n_requests = len(site.ranges)
    download(f"{site.url}/a.bin", target, patience())
    assert len(site.ranges) == n_requests
    target.write_bytes(CONTENT[:-1] + b"x")
    assert not is_whole(target)
    assert download(f"{site.url}/a.bin", target, patience()).read_bytes() == CONTENT


def test_broken_connections_are_resumed_where_they_broke(site: Site, tmp_path: Path) -> None:
    site.files["/a.bin"] = CONTENT
    site.break_after = 100_000
    assert download(f"{site.url}/a.bin", tmp_path / "a.bin", patience()).read_bytes() == CONTENT
    starts = [int(asked.removeprefix("bytes=").partition("-")[0]) for asked in site.ranges if asked]
    assert starts == sorted(starts)
    assert starts[-1] > 400_000
    assert sum(start == 0 for start in starts) <= 3


def test_an_interrupted_download_goes_on_in_the_next_run(site: Site, tmp_path: Path) -> None:
    site.files["/a.bin"] = CONTENT
    site.break_after, target = 70_000, tmp_path / "a.bin"
    with pytest.raises(DataError, match=r"a\.bin can't be downloaded.*run it again to go on"):
        download(f"{site.url}/a.bin", target, patience(attempts=1))
    site.break_after = None
    part = target.with_name("a.bin.part")
    part.write_bytes(CONTENT[:300_000])
    del site.ranges[:]
    assert download(f"{site.url}/a.bin", target, patience()).read_bytes() == CONTENT
    assert site.ranges[0].startswith("bytes=300000-")


def test_what_was_kept_of_another_version_is_not_used(site: Site, tmp_path: Path) -> None:
    site.files["/a.bin"], target = CONTENT, tmp_path / "a.bin"
    site.break_after = 1_000
    with pytest.raises(DataError):
        download(f"{site.url}/a.bin", target, patience(attempts=1))
    target.with_name("a.bin.part").write_bytes(b"old" * 100)
    site.break_after = None
    site.files["/a.bin"] = CONTENT[::-1]
    assert download(f"{site.url}/a.bin", target, patience()).read_bytes() == CONTENT[::-1]


def test_a_server_that_ignores_ranges_is_read_from_the_start(site: Site, tmp_path: Path) -> None:
    site.files["/a.bin"] = CONTENT
    site.knows_ranges, site.break_after, site.breaks = False, 200_000, 2
    assert download(f"{site.url}/a.bin", tmp_path / "a.bin", patience()).read_bytes() == CONTENT


def test_a_server_that_ignores_ranges_and_always_breaks_is_given_up(site: Site, tmp_path: Path) -> None:
    site.files["/a.bin"] = CONTENT
    site.knows_ranges, site.break_after = False, 200_000
    with pytest.raises(DataError, match="can't be downloaded"):
        download(f"{site.url}/a.bin", tmp_path / "a.bin", patience())
    assert not (tmp_path / "a.bin").exists()


def test_503_is_waited_out_and_given_up_when_it_lasts(site: Site, tmp_path: Path) -> None:
    site.files["/a.bin"], site.busy = CONTENT, 5
    assert download(f"{site.url}/a.bin", tmp_path / "a.bin", patience()).read_bytes() == CONTENT
    site.busy = 10**6
    with pytest.raises(DataError, match="the server answers 503"):
        download(f"{site.url}/a.bin", tmp_path / "b.bin", patience())


def test_the_wait_doubles_with_jitter_and_obeys_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    from towpath.data.sources import remote

    class BusyError(Exception):
        status = 503
        headers = {"Retry-After": "7"}

    config = PatienceConfig(first_wait_seconds=1.0, max_wait_seconds=30.0)
    waits = [remote._wait_seconds(failures, OSError(), config) for failures in range(1, 10)]
    assert all(0.5 * 2**number <= wait for number, wait in enumerate(waits[:5]))
    assert max(waits) == 30.0
    assert remote._wait_seconds(1, BusyError(), config) == 7.0


def test_a_missing_file_is_an_error_at_once(site: Site, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the server answers 404. Check the address"):
        download(f"{site.url}/none.bin", tmp_path / "none.bin", patience(attempts=50, first_wait_seconds=60))


def test_an_empty_file_arrives(site: Site, tmp_path: Path) -> None:
    site.files["/a.bin"] = b""
    assert download(f"{site.url}/a.bin", tmp_path / "a.bin", patience()).read_bytes() == b""


def put_crawl(site: Site, shared_data: Path) -> list[str]:
    archive = (shared_data / "raw/commoncrawl/whirlwind.warc.gz").read_bytes()
    paths = [
        f"crawl-data/{CRAWL}/segments/{segment}/warc/CC-MAIN-{number:05d}.warc.gz"
        for segment in ("100.1", "200.2")
        for number in range(2)
    ]
    site.files |= {f"/{path}": archive for path in paths}
    site.files[f"/crawl-data/{CRAWL}/warc.paths.gz"] = gzip.compress("\n".join(paths).encode())
    return paths


def crawl(site: Site, cache: Path, **settings: object) -> CommonCrawlSource:
    given = {"crawl": CRAWL, "base_url": site.url, "cache": str(cache), "patience": QUICK, **settings}
    return CommonCrawlSource.model_validate(given)


def test_pages_of_a_segment_are_downloaded_and_read(site: Site, shared_data: Path, tmp_path: Path) -> None:
    paths = put_crawl(site, shared_data)
    site.break_after, site.breaks, site.busy = 9_000, 3, 2
    source = crawl(site, tmp_path, segments=["200.2"])
    found = [item for item in source.documents() if isinstance(item, Document)]
    assert [document.path for document in found] == paths[2:]
    assert {document.url for document in found} == {"https://an.wikipedia.org/wiki/Escopete"}
    assert {document.source for document in found} == {"common_crawl"}
    assert not (tmp_path / paths[0]).exists()
    n_requests = len(site.ranges)
    again = pickle.loads(pickle.dumps(source))
    assert list(again.documents()) == found
    assert len(site.ranges) == n_requests


def test_files_are_chosen_by_number_within_segments(site: Site, shared_data: Path, tmp_path: Path) -> None:
    paths = put_crawl(site, shared_data)
    assert [piece.place for piece in crawl(site, tmp_path, files=[1, 2]).pieces()] == paths[1:3]
    assert [piece.place for piece in crawl(site, tmp_path, segments=["200.2"], files=[1, 1]).pieces()] == [
        paths[3]
    ]
    with pytest.raises(DataError, match=r"no segment '200\.3'\. Did you mean '200\.2'"):
        chosen(paths, ["200.3"], None)
    with pytest.raises(DataError, match="there are 4 files"):
        chosen(paths, [], (4, 5))


def test_downloading_first_gives_the_files_and_the_same_fingerprint(
    site: Site, shared_data: Path, tmp_path: Path
) -> None:
    from towpath.core.files import sha256_of

    paths = put_crawl(site, shared_data)
    source = crawl(site, tmp_path / "a", files=[0, 1])
    assert list(source.download()) == [tmp_path / "a" / path for path in paths[:2]]
    assert [piece.size_bytes > 0 for piece in source.pieces()] == [True, True]
    assert source.fingerprint(sha256_of) == crawl(site, tmp_path / "b", files=[0, 1]).fingerprint(sha256_of)


def test_a_crawl_on_disk_is_read_by_a_file_address(site: Site, shared_data: Path, tmp_path: Path) -> None:
    put_crawl(site, shared_data)
    for path, content in site.files.items():
        place = tmp_path / "mirror" / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
    source = crawl(site, tmp_path / "cache", files=[0, 0], base_url=f"file://{tmp_path}/mirror")
    assert len(list(source.documents())) == 1


def test_a_listing_that_points_outside_its_crawl_is_refused(tmp_path: Path) -> None:
    for line in ("/etc/passwd", "crawl-data/../../x", "a\\..\\b"):
        listing = tmp_path / "warc.paths.gz"
        listing.write_bytes(gzip.compress(line.encode()))
        with pytest.raises(DataError, match="outside of the crawl"):
            read_listing(listing)
    listing.write_bytes(b"<html>Busy</html>")
    with pytest.raises(DataError, match="is no list of paths"):
        read_listing(listing)


def test_a_whole_crawl_is_not_taken_by_mistake() -> None:
    for settings in (
        {"crawl": CRAWL},
        {"crawl": "last week", "files": (0, 0)},
        {"crawl": CRAWL, "files": (3, 1)},
    ):
        with pytest.raises(ValidationError):
            CommonCrawlSource.model_validate(settings)
    assert SOURCES.load("common_crawl") is CommonCrawlSource


def test_the_note_of_a_file_tells_where_it_is_from(site: Site, tmp_path: Path) -> None:
    site.files["/a.bin"] = b"abc"
    download(f"{site.url}/a.bin", tmp_path / "a.bin", patience())
    note = json.loads((tmp_path / "a.bin.json").read_bytes())
    assert note["url"] == f"{site.url}/a.bin"
    assert note["size_bytes"] == 3
