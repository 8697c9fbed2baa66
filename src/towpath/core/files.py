"""Files that survive a kill and a power cut, and digests that find a flipped bit.

A file is written beside its place, flushed to the device and renamed; then its folder is flushed,
so that the name survives too. ``seal`` does the same for a folder: its manifest is written last,
so a manifest's presence means that all else is there. ``verify`` reads everything again.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import uuid
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from towpath.core.errors import ArtifactError, DiskFullError

MANIFEST = "manifest.json"
_CHUNK_BYTES = 1 << 22
_PARTIAL = ".partial"


def canonical_json(value: Any) -> bytes:
    """The one spelling of ``value`` that digests are taken of: sorted keys, no spaces, UTF-8."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def readable_json(value: Any) -> bytes:
    """``value`` as indented JSON with a final newline."""
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, hexadecimal. Memory use is constant."""
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def fsync_path(path: Path) -> None:
    """Flush a file, or the names inside a folder, to the device."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_durably(path: Path, content: bytes) -> None:
    """Replace ``path`` by ``content``: after a kill either the old or the new file is there, whole."""
    # A name of its own: what a killed process leaves at work elsewhere may write the same file.
    partial = path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}{_PARTIAL}")
    with disk_full_explained(path):
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        fsync_path(path.parent)


@contextmanager
def disk_full_explained(path: Path) -> Iterator[None]:
    """Turn ENOSPC and EDQUOT raised inside into a ``DiskFullError`` that names the volume."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise DiskFullError(
            f"{path}: no space left on the device. What was complete before is untouched. "
            "Free some space and run the same command again; it goes on from there."
        ) from error


def content_files(folder: Path) -> list[Path]:
    """Every file below ``folder`` but its manifest and unfinished writes, sorted by name."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_file() and path != folder / MANIFEST and not path.name.endswith(_PARTIAL)
    )


def seal(folder: Path, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Flush every file of ``folder``, then write its manifest: ``facts`` and each file's size and SHA-256.

    Returns:
        The manifest as written.
    """
    paths = content_files(folder)
    with disk_full_explained(folder):
        for path in paths:
            fsync_path(path)
        for inner in sorted({path.parent for path in paths}):
            fsync_path(inner)
    with ThreadPoolExecutor(2) as pool:
        digests = list(pool.map(sha256_of, paths))
    files = {
        path.relative_to(folder).as_posix(): {"size_bytes": path.stat().st_size, "sha256": digest}
        for path, digest in zip(paths, digests, strict=True)
    }
    manifest = {**facts, "files": files}
    write_durably(folder / MANIFEST, readable_json(manifest))
    return manifest


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """The manifest of ``folder``; None when there is none, so the folder is unfinished.

    Raises:
        ArtifactError: the manifest is there and is not JSON.
    """
    path = folder / MANIFEST
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise ArtifactError(
            f"{path} is damaged: {error}. Remove {folder} and run the command again to make it anew."
        ) from error


def verify(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Compare every file with its recorded size and SHA-256.

    Raises:
        ArtifactError: names the first file that is missing, cut short or changed.
    """
    items = sorted(manifest["files"].items())
    for name, expected in items:
        path = folder / name
        if not path.is_file():
            raise ArtifactError(f"{path} is missing. {_remedy(folder)}")
        size = path.stat().st_size
        if size != expected["size_bytes"]:
            raise ArtifactError(
                f"{path} has {size} bytes where {expected['size_bytes']} were written. {_remedy(folder)}"
            )
    with ThreadPoolExecutor(2) as pool:
        digests = pool.map(lambda item: sha256_of(folder / item[0]), items)
        for (name, expected), digest in zip(items, digests, strict=True):
            if digest != expected["sha256"]:
                raise ArtifactError(
                    f"{folder / name} is damaged: its SHA-256 is {digest[:12]}…, "
                    f"{expected['sha256'][:12]}… was written. {_remedy(folder)}"
                )


def _remedy(folder: Path) -> str:
    return f"Restore it from a copy, or remove {folder} and run the command again to make it anew."
