"""What every source that reads files has: a path, and one piece a file.

To add a format: a ``FileSource`` with ``suffixes`` and ``read_file``. Paths of documents are those
below the folder that the run file names, so that a moved folder gives the same documents.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar

from towpath.data.document import Document, Rejected
from towpath.data.sources import Digest, Piece, Source
from towpath.data.sources.found import Found, find_files, root_of


class FileSource(Source):
    """Files of one or more kinds, each read from start to end."""

    suffixes: ClassVar[Sequence[str]]
    """The kinds of file that it reads, without the suffix of a compression."""

    path: str
    """A file, a folder (with those below it) or a glob."""
    follow_links: bool = False
    """Read links below the folder that lead out of it too. Only for folders whose content you trust: a link
    may name any file of this machine."""

    def pieces(self) -> Sequence[Piece]:
        """The files, in the order of their paths."""
        found = self.found()
        return [Piece(found.place(path), path.stat().st_size) for path in found.paths]

    def read(self, piece: Piece) -> Iterator[Document | Rejected]:
        """The documents of one file."""
        return self.read_file(root_of(self.path) / piece.place, piece.place)

    def read_file(self, path: Path, place: str) -> Iterator[Document | Rejected]:
        """The documents of the file ``path``; ``place`` is what they carry as their path."""
        raise NotImplementedError

    def fingerprint(self, sha256: Digest) -> str:
        """Digest of the files' paths, sizes and content."""
        return self.found().fingerprint(sha256)

    def found(self) -> Found:
        """The files that ``path`` means."""
        return find_files(self.path, self.suffixes, follow_links=self.follow_links)
