"""File digests that are taken once: remembered by path, size and time of change."""

from __future__ import annotations

import json
from pathlib import Path

from towpath.core.files import readable_json, sha256_of, write_durably


class FileDigests:
    """SHA-256 of files. ``save`` keeps what was taken, for the next command."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[str, list[int | str]] = {}
        if path.exists():
            try:
                self._known = json.loads(path.read_bytes())
            except ValueError:  # only a cache: a damaged one is taken anew
                self._known = {}
        self._changed = False

    def sha256(self, path: Path) -> str:
        """SHA-256 of ``path``, hexadecimal."""
        status = path.stat()
        key = repr(str(path.resolve()))
        size, changed_ns, digest = self._known.get(key, (None, None, ""))
        if (size, changed_ns) == (status.st_size, status.st_mtime_ns):
            return str(digest)
        digest = sha256_of(path)
        self._known[key] = [status.st_size, status.st_mtime_ns, digest]
        self._changed = True
        return digest

    def save(self) -> None:
        """Write what is known, if it is more than was read."""
        if self._changed:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_durably(self._path, readable_json(self._known))
            self._changed = False
