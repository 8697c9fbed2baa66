"""Git repositories, from GitHub or anywhere: cloned once, one document a file of the newest commit.

A repository is cloned bare and one commit deep into the cache, and its files are read from git's own
store: no hook, filter, submodule, symbolic link or file name of the repository reaches the disk. A clone
is renamed into place when it is whole, so one that was interrupted is made again and the others stay;
to read newer commits, delete it. Which files stay is the same as for ``code_files``.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

from pydantic import Field

from towpath.core.config import Execution
from towpath.core.errors import DataError
from towpath.data.document import Document, Rejected
from towpath.data.sources import Digest, Piece
from towpath.data.sources.code_files import CodeSource, tells_licence
from towpath.data.sources.licences import UNKNOWN, licence_of_files
from towpath.data.wellformed import read_utf8

_SETTINGS = (
    *("-c", "core.hooksPath=/dev/null"),
    *("-c", "protocol.ext.allow=never"),
    *("-c", "protocol.file.allow=always"),
)
_NO_QUESTIONS = {
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_ASKPASS": "true",
    "GIT_SSH_COMMAND": "ssh -oBatchMode=yes",
    "GIT_LFS_SKIP_SMUDGE": "1",
}
_REGULAR_MODES = ("100644", "100755")
_LFS_POINTER = b"version https://git-lfs.github.com/spec/"


class GithubSource(CodeSource):
    """Files of git repositories."""

    type: Literal["github"] = "github"
    repositories: tuple[str, ...] = Field(min_length=1)
    """Addresses that git can clone (https, ssh, file), or paths of repositories on this machine."""
    cache: Execution[str] = "~/.cache/towpath/repositories"
    """Folder for the clones."""
    clone_timeout_seconds: Execution[float] = Field(default=600.0, gt=0)
    """A clone that takes longer is given up."""

    def pieces(self) -> Sequence[Piece]:
        """One a repository."""
        return [Piece(repository) for repository in self.repositories]

    def read(self, piece: Piece) -> Iterator[Document | Rejected]:
        """The files of one repository, by path.

        Raises:
            DataError: git is missing, or the repository can't be cloned.
        """
        clone = self._clone(piece.place)
        commit = clone.commit()
        files = clone.files()
        top = [file for file in files if "/" not in file.path and tells_licence(file.path)]
        texts = {file.path: read_utf8(raw) for file, raw in clone.contents(top, self.max_file_bytes)}
        licence = self.licence if self.licence != UNKNOWN else licence_of_files(texts)
        for file, raw in clone.contents(files, self.max_file_bytes):
            facts = {"path": file.path, "licence": licence, "repository": piece.place, "commit": commit}
            place, url = f"{piece.place}#{file.path}", _page_of(piece.place, commit, file.path)
            if raw.startswith(_LFS_POINTER):
                found = self.document(read_utf8(raw), path=place, url=url, licence=licence)
                yield Rejected(found, "lfs_pointer")
            elif file.size > self.max_file_bytes:
                yield self.too_large(place, url, file.size, licence)
            else:
                yield self.of_file(place, url, raw, facts)

    def fingerprint(self, sha256: Digest) -> str:
        """Digest of the repositories and their commits, which are cloned for it."""
        lines = [f"{name} {self._clone(name).commit()}\n" for name in self.repositories]
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    def _clone(self, repository: str) -> _Clone:
        name = re.sub(r"\W+", "-", repository.removesuffix(".git").rstrip("/").rpartition("/")[2])[:60]
        digest = hashlib.blake2b(repository.encode(), digest_size=8).hexdigest()
        cache = Path(self.cache).expanduser()
        place = cache / f"{name}-{digest}.git"
        if not place.is_dir():
            cache.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=cache, prefix=".cloning-") as folder:
                self._fetch(repository, Path(folder, "clone"))
                try:
                    Path(folder, "clone").rename(place)
                except OSError:
                    if not place.is_dir():  # another worker may have been faster
                        raise
        return _Clone(place, repository)

    def _fetch(self, repository: str, place: Path) -> None:
        local = Path(repository).expanduser()
        address = local.resolve().as_uri() if "://" not in repository and local.exists() else repository
        if address.startswith("-"):
            raise DataError(f"{repository!r} is no address of a git repository.")
        options = ("--bare", "--depth=1", "--single-branch", "--no-tags", "--template=", "--quiet")
        try:
            _git(*_SETTINGS, "clone", *options, "--", address, str(place), timeout=self.clone_timeout_seconds)
        except subprocess.TimeoutExpired as error:
            raise DataError(
                f"{repository} was not cloned within {self.clone_timeout_seconds:g} seconds. Try again, or "
                "set clone_timeout_seconds higher."
            ) from error
        except subprocess.CalledProcessError as error:
            said = " ".join(error.stderr.decode("utf-8", "replace").split()).rstrip(".")
            raise DataError(
                f"{repository} can't be cloned: {said}. Expected the address of a git repository that needs "
                "no password, or a path; correct it or take it out of 'repositories'."
            ) from error


@dataclass(frozen=True, slots=True)
class _File:
    path: str
    blob: str
    size: int


@dataclass(frozen=True)
class _Clone:
    """A bare repository on this machine."""

    place: Path
    repository: str

    def commit(self) -> str:
        """The newest commit's hash.

        Raises:
            DataError: there is none.
        """
        try:
            return self._run("rev-parse", "--verify", "HEAD^{commit}").decode().strip()
        except subprocess.CalledProcessError as error:
            raise DataError(
                f"{self.repository} has no commit, or its clone {self.place} is damaged; delete it "
                "to clone again."
            ) from error

    def files(self) -> list[_File]:
        """The regular files of the newest commit, by path; links and submodules are passed over."""
        found = []
        for entry in self._run("ls-tree", "-r", "-z", "-l", "HEAD").split(b"\0")[:-1]:
            facts, _, path = entry.partition(b"\t")
            mode, kind, blob, size = facts.decode().split()
            if kind == "blob" and mode in _REGULAR_MODES:
                found.append(_File(path.decode("utf-8", "surrogateescape"), blob, int(size)))
        return sorted(found, key=lambda file: file.path)

    def contents(self, files: Sequence[_File], max_bytes: int) -> Iterator[tuple[_File, bytes]]:
        """Each file with its bytes; larger ones than ``max_bytes`` with none."""
        command = [_program(), *_SETTINGS, "-C", str(self.place), "cat-file", "--batch"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            asked, answers = process.stdin, process.stdout
            assert asked is not None
            assert answers is not None
            for file in files:
                raw = b""
                if file.size <= max_bytes:
                    asked.write(file.blob.encode() + b"\n")
                    asked.flush()
                    answers.readline()
                    raw = cast(bytes, answers.read(file.size))
                    answers.read(1)
                yield file, raw

    def _run(self, *arguments: str) -> bytes:
        return _git(*_SETTINGS, "-C", str(self.place), *arguments, timeout=None)


def _git(*arguments: str, timeout: float | None) -> bytes:
    environment = {**os.environ, **_NO_QUESTIONS}
    command = [_program(), *arguments]
    return subprocess.run(
        command, check=True, capture_output=True, timeout=timeout, env=environment, stdin=subprocess.DEVNULL
    ).stdout


def _program() -> str:
    program = shutil.which("git")
    if program is None:
        raise DataError("The source 'github' needs the program git, which is not on the PATH. Install git.")
    return program


def _page_of(repository: str, commit: str, path: str) -> str | None:
    """The address of a file's page, where the repository has one on the web."""
    if not repository.startswith(("https://", "http://")):
        return None
    address = re.sub(r"//[^/@]*@", "//", repository.rstrip("/").removesuffix(".git"))
    return f"{address}/blob/{commit}/{path}"
