"""Code in folders that are no git repositories: one document a file, by the rules of ``code_kinds``.

Files that are left out (vendored, generated, minified, binary, too large, of an unknown language) are
``Rejected`` under that reason, so nothing disappears; of binary files only a note is kept. The folder
counts as one repository: its licence is that of the files in its top folder.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field

from towpath.core.errors import DataError
from towpath.data.document import Document, Domain, Rejected
from towpath.data.sources import Digest, Piece, Source
from towpath.data.sources.code_kinds import language_of, why_left_out
from towpath.data.sources.licences import LICENCE_NAME, METADATA_NAMES, UNKNOWN, licence_of_files
from towpath.data.sources.limits import TookTooLong, time_limit
from towpath.data.sources.streams import damage_named
from towpath.data.wellformed import read_utf8

_PIECE_BYTES = 8 << 20


class CodeSource(Source):
    """What sources of code share: which files stay, and under which licences."""

    domain: Domain = "code"
    """Kind of text."""
    licences: tuple[str, ...] | None = None
    """SPDX identifiers that are taken; what has another licence, or none that is known, is rejected as
    "licence_not_allowed". None takes all."""
    languages: tuple[str, ...] | None = None
    """Languages that are taken, named as by GitHub ("Python", "C++"); others are rejected as
    "other_language". None takes every known one."""
    max_file_bytes: int = Field(default=1_000_000, ge=1)
    """Larger files are rejected as "file_too_large"; The Stack takes the same bound (arXiv:2211.15533)."""

    def of_file(self, place: str, url: str | None, raw: bytes, facts: dict[str, str]) -> Document | Rejected:
        """The document of the file ``raw``; ``facts`` holds its path in the repository, "licence" and
        what else goes into ``meta``."""
        path, licence = facts.pop("path"), facts.pop("licence")
        try:
            with time_limit():
                reason = self._why_left_out(path, raw, licence)
        except TookTooLong:
            reason = "too_slow"
        kept = reason != "binary_file"
        text = read_utf8(raw).replace("\r\n", "\n") if kept else f"{len(raw):,} bytes that are not kept"
        language = language_of(path)
        meta = {**facts, "language": language} if language else facts
        document = self.document(text, path=place, url=url, licence=licence, meta=meta)
        return Rejected(document, reason) if reason else document

    def _why_left_out(self, path: str, raw: bytes, licence: str) -> str | None:
        if reason := why_left_out(path, raw):
            return reason
        if not self.allows(licence):
            return "licence_not_allowed"
        if self.languages is not None and language_of(path) not in self.languages:
            return "other_language"
        return None

    def too_large(self, place: str, url: str | None, size_bytes: int, licence: str) -> Rejected:
        """What stands for a file of more than ``max_file_bytes``, which is not read."""
        note = f"{size_bytes:,} bytes that are not kept"
        return Rejected(self.document(note, path=place, url=url, licence=licence), "file_too_large")

    def allows(self, licence: str) -> bool:
        """Whether texts under ``licence`` are taken: of a choice (OR) one part must be, else all parts."""
        if self.licences is None:
            return True
        if licence == UNKNOWN:
            return UNKNOWN in self.licences
        choices = [choice.strip("() ").split(" AND ") for choice in licence.split(" OR ")]
        return any(all(part.strip("() ") in self.licences for part in choice) for choice in choices)


class CodeFilesSource(CodeSource):
    """Code in a folder."""

    type: Literal["code_files"] = "code_files"
    path: str
    """A folder, read with those below it; hidden files and links are passed over."""

    def pieces(self) -> Sequence[Piece]:
        """Runs of files in the order of their paths, each named by its first and last one."""
        pieces: list[Piece] = []
        first, size = "", 0
        files = self._files()
        for number, (place, path) in enumerate(files):
            first = first or place
            size += path.stat().st_size
            if size >= _PIECE_BYTES or number == len(files) - 1:
                pieces.append(Piece(f"{first}\n{place}", size))
                first, size = "", 0
        return pieces

    def read(self, piece: Piece) -> Iterator[Document | Rejected]:
        """The files of one run."""
        first, _, last = piece.place.partition("\n")
        licence = self._licence()
        for place, path in self._files():
            if not first <= place <= last:
                continue
            raw = self._start_of(path)
            if len(raw) > self.max_file_bytes:
                yield self.too_large(place, None, path.stat().st_size, licence)
            else:
                yield self.of_file(place, None, raw, {"path": place, "licence": licence})

    def fingerprint(self, sha256: Digest) -> str:
        """Digest of the files' paths and content."""
        digest = hashlib.sha256()
        for place, path in self._files():
            digest.update(f"{place}\0{sha256(path)}\n".encode("utf-8", "surrogateescape"))
        return digest.hexdigest()

    def _files(self) -> list[tuple[str, Path]]:
        folder = Path(self.path).expanduser()
        if not folder.is_dir():
            raise DataError(f"{folder} is no folder. Name a folder with code; for a repository use 'github'.")
        found: list[tuple[str, Path]] = []
        for inner, folders, names in os.walk(folder):
            folders[:] = [name for name in folders if not name.startswith(".")]
            paths = [Path(inner, name) for name in names if not name.startswith(".")]
            found += [(path.relative_to(folder).as_posix(), path) for path in paths if _is_plain(path)]
        if not found:
            raise DataError(f"{folder} holds no file.")
        return sorted(found)

    def _start_of(self, path: Path) -> bytes:
        """The bytes of ``path``, and no more than one too many."""
        with damage_named(path), path.open("rb") as file:
            return file.read(self.max_file_bytes + 1)

    def _licence(self) -> str:
        if self.licence != UNKNOWN:
            return self.licence
        names = [path for path in Path(self.path).expanduser().iterdir() if _is_plain(path)]
        texts = {path.name: read_utf8(self._start_of(path)) for path in names if tells_licence(path.name)}
        return licence_of_files(texts)


def tells_licence(name: str) -> bool:
    """Whether a file of a repository's top folder may say what its licence is."""
    return LICENCE_NAME.match(name) is not None or name.lower() in METADATA_NAMES


def _is_plain(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()
