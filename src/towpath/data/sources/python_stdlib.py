"""The Python standard library's own sources: the code of the demo (PSF-2.0).

A document is a module. Left out: tests, what pip installed, an editor and tools that nobody
imports, and tables of characters or settings that are data spelled as code.
"""

from __future__ import annotations

import hashlib
import os
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import Field

from towpath.core.errors import DataError
from towpath.data.document import Document, Domain
from towpath.data.sources import Digest, Piece, Source
from towpath.data.wellformed import read_utf8

_LEFT_OUT = frozenset(
    {
        *("test", "tests", "site-packages", "dist-packages", "__pycache__"),
        *("idlelib", "lib2to3", "turtledemo"),
        *("encodings", "pydoc_data"),
    }
)
_GENERATED = "_sysconfigdata"  # the settings this interpreter was built with


class PythonStdlibSource(Source):
    """Modules of the running interpreter's standard library."""

    type: Literal["python_stdlib"] = "python_stdlib"
    domain: Domain = "code"
    """Kind of text."""
    licence: str = "PSF-2.0"
    """SPDX identifier of the texts' licence."""
    min_file_bytes: int = Field(default=500, ge=0)
    """Smaller files are not read: they only import from elsewhere."""

    def read(self, piece: Piece) -> Iterator[Document]:
        """Every module, sorted by path."""
        folder = _folder()
        for path in self._files(folder):
            yield self.document(read_utf8(path.read_bytes()), path=path.relative_to(folder).as_posix())

    def fingerprint(self, sha256: Digest) -> str:
        """Digest of the modules' names and content."""
        folder = _folder()
        digest = hashlib.sha256()
        for path in self._files(folder):
            digest.update(f"{path.relative_to(folder).as_posix()} {sha256(path)}\n".encode())
        return digest.hexdigest()

    def _files(self, folder: Path) -> list[Path]:
        found: list[Path] = []
        for inner, folders, names in os.walk(folder):
            folders[:] = set(folders) - _LEFT_OUT  # site-packages may be larger than all else
            found += [Path(inner, name) for name in names if name.endswith(".py")]
        found = [path for path in found if not path.name.startswith(_GENERATED)]
        found = [path for path in found if path.stat().st_size >= self.min_file_bytes]
        if not found:
            raise DataError(
                f"The source 'python_stdlib' found no .py file below {folder}. "
                "This interpreter comes without its library's sources; leave the source out."
            )
        return sorted(found, key=lambda path: path.relative_to(folder).as_posix())


def _folder() -> Path:
    return Path(sysconfig.get_path("stdlib"))
