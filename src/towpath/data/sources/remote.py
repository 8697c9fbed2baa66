"""Files from elsewhere: downloaded once into a folder, resumed after a break, checked on every use.

In come an address that fsspec knows (https, s3, file) and a place; out comes the whole file there.
What has arrived is kept beside it as ``<name>.part`` with a note of the remote file's size and
tag; an interrupted download goes on there with a range request, unless the remote file has changed
or the server knows no ranges. A whole file has a note with its size and SHA-256, ``<name>.json``.
Waits after an error grow exponentially, with jitter, and obey ``Retry-After``, as Common Crawl asks
(https://status.commoncrawl.org, "please reduce your request rate").
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

from pydantic import Field

from towpath.core.config import Section
from towpath.core.errors import DataError, TowpathError, need
from towpath.core.files import disk_full_explained, fsync_path, readable_json, sha256_of, write_durably

_BLOCK_BYTES = 8 << 20
_MIN_BLOCK_BYTES = 1 << 16
_LASTING = frozenset({400, 401, 403, 404, 405, 410, 451})


class PatienceConfig(Section):
    """How long a download is tried."""

    attempts: int = Field(default=8, ge=1)
    """Failures in a row without a byte in between after which it is given up."""
    first_wait_seconds: float = Field(default=1.0, ge=0)
    """Wait after the first failure; twice as long after each that follows."""
    max_wait_seconds: float = Field(default=120.0, ge=0)
    """Longest wait, also where the server asks for more."""


def download(
    url: str,
    target: Path,
    patience: PatienceConfig | None = None,
    on_bytes: Callable[[int], Any] | None = None,
) -> Path:
    """The file at ``url`` as ``target``, from the network only if it isn't there whole.

    ``on_bytes`` is called with the number of bytes of each block that arrives.

    Raises:
        DataError: it doesn't exist, may not be read, or can't be had with that patience.
        MissingPackageError: the package for the address's protocol isn't installed.
    """
    if is_whole(target):
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    transfer = _Transfer(url, target, on_bytes or (lambda _: None))
    patience = patience or PatienceConfig()
    failures = 0
    while True:
        before = transfer.furthest
        try:
            with disk_full_explained(target):
                transfer.go_on()
            return target
        except Exception as error:
            if not _may_pass(error):
                raise _given_up(url, error) from error
            failures = 1 if transfer.furthest > before else failures + 1
            if failures >= patience.attempts:
                raise _given_up(url, error) from error
            transfer.ask_less()
            time.sleep(_wait_seconds(failures, error, patience))


def is_whole(target: Path) -> bool:
    """Whether ``target`` is there with the size and SHA-256 that its note tells."""
    note = _note(target)
    if note is None or not target.is_file() or target.stat().st_size != note.get("size_bytes"):
        return False
    return sha256_of(target) == note.get("sha256")


class _NoRangesError(Exception):
    """The server sends the whole file, whatever range is asked for."""


@dataclass
class _Transfer:
    url: str
    target: Path
    on_bytes: Callable[[int], Any]
    furthest: int = 0
    """How far into the file it came so far: what tells progress from beginning anew."""
    n_block: int = _BLOCK_BYTES
    part: Path = field(init=False)

    def __post_init__(self) -> None:
        self.part = self.target.with_name(f"{self.target.name}.part")

    def go_on(self) -> None:
        """Fetch what is missing, then put the file in its place."""
        system, path = _file_system(self.url)
        info = system.info(path)
        size: int | None = info.get("size")
        tag = str(info.get("ETag") or info.get("Last-Modified") or info.get("LastModified") or "")
        start = self._kept(size, tag)
        self.n_block = min(self.n_block, size or self.n_block)
        by_range = bool(size) and info.get("partial", True)
        if size is None or start < size:
            try:
                if not by_range:
                    raise _NoRangesError
                self._write(self._ranges(system, path, start, size or 0), start)
            except _NoRangesError:
                self._write(self._stream(system, path), 0)
        arrived = self.part.stat().st_size if self.part.exists() else 0
        if size is not None and arrived != size:
            raise ConnectionError(f"{arrived:,} of {size:,} bytes arrived")
        self._finish(arrived)

    def ask_less(self) -> None:
        """Smaller requests from now on: of one that breaks nothing is kept."""
        self.n_block = max(self.n_block // 4, _MIN_BLOCK_BYTES)

    def _kept(self, size: int | None, tag: str) -> int:
        remote = {"size_bytes": size, "tag": tag}
        kept = self.part.stat().st_size if self.part.exists() else 0
        if _note(self.part) != remote or size is None or kept > size:
            self.part.unlink(missing_ok=True)
            write_durably(_note_path(self.part), readable_json(remote))
            return 0
        return kept

    def _ranges(self, system: Any, path: str, start: int, size: int) -> Iterator[bytes]:
        with system.open(path, "rb", block_size=_BLOCK_BYTES, cache_type="none", size=size) as file:
            while start < size:
                file.seek(start)
                try:
                    block = file.read(min(self.n_block, size - start))
                except ValueError as error:
                    raise _NoRangesError from error
                if not block:
                    raise ConnectionError(f"the server sent nothing from byte {start:,} on")
                start += len(block)
                yield block

    def _stream(self, system: Any, path: str) -> Iterator[bytes]:
        with system.open(path, "rb", block_size=0) as file:
            while block := file.read(1 << 20):
                yield block

    def _write(self, blocks: Iterator[bytes], start: int) -> None:
        with self.part.open("r+b" if start else "wb") as file:
            file.seek(start)
            for block in blocks:
                file.write(block)
                file.flush()
                self.furthest = max(self.furthest, file.tell())
                self.on_bytes(len(block))
            os.fsync(file.fileno())

    def _finish(self, size: int) -> None:
        if not self.part.exists():
            self.part.touch()
        note = {"url": self.url, "size_bytes": size, "sha256": sha256_of(self.part)}
        self.part.replace(self.target)
        write_durably(_note_path(self.target), readable_json(note))
        fsync_path(self.target.parent)
        _note_path(self.part).unlink(missing_ok=True)


def _file_system(url: str) -> tuple[Any, str]:
    protocol = url.partition("://")[0]
    packages = {"http": "aiohttp", "https": "aiohttp", "s3": "s3fs"}
    if protocol in packages:
        need(packages[protocol], install="towpath[remote]", why=f"reading {protocol} addresses")
    from fsspec.core import url_to_fs

    return url_to_fs(url)


def _note_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def _note(path: Path) -> dict[str, Any] | None:
    try:
        note = json.loads(_note_path(path).read_bytes())
    except (OSError, ValueError):
        return None
    return note if isinstance(note, dict) else None


def _status(error: BaseException) -> int | None:
    # fsspec says "not found" of whatever goes wrong while it asks for the size; the cause tells.
    for candidate in (error.__cause__, error):
        status = getattr(candidate, "status", None)
        if isinstance(status, int) and status:
            return status
    return None


def _may_pass(error: Exception) -> bool:
    """Whether it is worth trying again: broken connections, time-outs, 429 and 5xx."""
    status = _status(error)
    if status is not None:
        return status not in _LASTING
    if isinstance(error, FileNotFoundError):
        return error.__cause__ is not None and not isinstance(error.__cause__, FileNotFoundError)
    lasting = (PermissionError, IsADirectoryError, DataError)
    passing = (OSError, TimeoutError)
    return (isinstance(error, passing) and not isinstance(error, lasting)) or _is_of_aiohttp(error)


def _is_of_aiohttp(error: Exception) -> bool:
    return type(error).__module__.partition(".")[0] == "aiohttp"


def _wait_seconds(failures: int, error: Exception, patience: PatienceConfig) -> float:
    wait = patience.first_wait_seconds * 2 ** (failures - 1) * random.uniform(0.5, 1.5)
    return min(max(wait, _retry_after_seconds(error)), patience.max_wait_seconds)


def _retry_after_seconds(error: Exception) -> float:
    for candidate in (error.__cause__, error):
        headers = getattr(candidate, "headers", None)
        if headers and (value := headers.get("Retry-After")):
            if value.strip().isdigit():
                return float(value)
            with contextlib.suppress(ValueError, TypeError):
                return (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds()
    return 0.0


def _given_up(url: str, error: Exception) -> TowpathError:
    if isinstance(error, TowpathError):
        return error
    status = _status(error)
    cause = error.__cause__ if isinstance(error, FileNotFoundError) and error.__cause__ else error
    what = f"the server answers {status}" if status else f"{type(cause).__name__}: {cause}"
    remedy = (
        "Check the address."
        if not _may_pass(error)
        else "What has arrived is kept; run it again to go on from there."
    )
    return DataError(f"{url} can't be downloaded: {what}. {remedy}")
