"""Which files a path of the run file means: one file, all files of a folder, or those of a glob.

Links below a folder that lead out of it are passed over, and said, unless the source follows them: a
folder that somebody else filled would choose which of this machine's files become training text. A file
that the run file names itself may be one.
"""

from __future__ import annotations

import glob
import hashlib
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from towpath.core.errors import DataError, did_you_mean
from towpath.data.sources import Digest
from towpath.data.sources.streams import COMPRESSIONS


@dataclass(frozen=True)
class Found:
    """Files sorted by their place below ``root``."""

    root: Path
    paths: tuple[Path, ...]

    def place(self, path: Path) -> str:
        """``path`` below the root, with forward slashes: the same on every machine."""
        return path.relative_to(self.root).as_posix()

    def fingerprint(self, sha256: Digest) -> str:
        """Digest of the files' places, sizes and content."""
        digest = hashlib.sha256()
        for path in self.paths:
            line = f"{self.place(path)}\0{path.stat().st_size}\0{sha256(path)}\n"
            digest.update(line.encode("utf-8", "surrogateescape"))
        return digest.hexdigest()


def find_files(pattern: str, suffixes: Sequence[str], *, follow_links: bool = False) -> Found:
    """The files that ``pattern`` means and whose kind is one of ``suffixes``; left out are hidden ones
    and, unless ``follow_links``, links that lead out of the folder.

    Raises:
        DataError: there are none.
    """
    path = Path(pattern).expanduser()
    root = root_of(pattern)
    if path.is_file():
        return _supported(pattern, root, [path], suffixes, follow_links=True)
    if path.is_dir():
        return _supported(pattern, root, _below(path, follow_links), suffixes, follow_links=follow_links)
    if not glob.has_magic(pattern):
        siblings = [item.name for item in path.parent.iterdir()] if path.parent.is_dir() else []
        raise DataError(f"{path} does not exist.{did_you_mean(path.name, siblings)} {_expected(suffixes)}")
    matches = glob.glob(str(path), recursive=True)  # noqa: PTH207 (Path.glob refuses absolute patterns)
    if not matches:
        raise DataError(f"No file matches {pattern!r} (looked from {Path.cwd()}). {_expected(suffixes)}")
    return _supported(pattern, root, [Path(match) for match in matches], suffixes, follow_links=follow_links)


def _below(folder: Path, follow_links: bool) -> list[Path]:
    """Every file below ``folder``; a linked folder is entered once, so that links in a circle end."""
    if not follow_links:
        return list(folder.rglob("*"))
    paths, entered = [], set()
    for place, folders, files in os.walk(folder, followlinks=True):
        paths += [Path(place, name) for name in files]
        entered.add(os.path.realpath(place))
        folders[:] = [name for name in folders if os.path.realpath(Path(place, name)) not in entered]
    return paths


def root_of(pattern: str) -> Path:
    """The folder that the places of ``pattern``'s files are counted from."""
    path = Path(pattern).expanduser()
    if path.is_dir():
        return path
    if path.is_file() or not glob.has_magic(pattern):
        return path.parent
    first = next(index for index, part in enumerate(path.parts) if glob.has_magic(part))
    return Path(*path.parts[:first])


def kind_of(path: Path) -> str:
    """The suffix that tells what is in a file, without that of its compression: a.txt.gz has ".txt"."""
    return Path(path.stem).suffix if path.suffix in COMPRESSIONS else path.suffix


def _supported(
    pattern: str, root: Path, paths: Sequence[Path], suffixes: Sequence[str], *, follow_links: bool
) -> Found:
    chosen = [path for path in paths if kind_of(path) in suffixes and not _hidden(path, root)]
    chosen = [path for path in chosen if path.is_file()]
    n_files = len(chosen)
    chosen = [path for path in chosen if follow_links or not _leads_out(path, root)]
    if not chosen:
        what = f"{pattern!r} holds no file that can be read" if paths else f"{pattern!r} is an empty folder"
        if n_files:
            what += f"; its {n_files} links lead out of it. To read them: follow_links = true"
        raise DataError(f"{what}. {_expected(suffixes)}")
    if len(chosen) < n_files:
        _say_passed_over(pattern, n_files - len(chosen))
    return Found(root, tuple(sorted(chosen, key=lambda path: path.relative_to(root).as_posix())))


@cache
def _say_passed_over(pattern: str, n_links: int) -> None:
    """Said once, however often the files are listed."""
    print(
        f"{pattern!r}: {n_links} links that lead out of the folder are passed over. To read them: "
        "follow_links = true in the source's table.",
        file=sys.stderr,
    )


def _hidden(path: Path, root: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(root).parts)


def _leads_out(path: Path, root: Path) -> bool:
    own = root.resolve()
    folders = path.parents[: len(path.relative_to(root).parts) - 1]
    is_linked = any(part.is_symlink() for part in (path, *folders))
    return is_linked and not path.resolve().is_relative_to(own)


def _expected(suffixes: Sequence[str]) -> str:
    return (
        f"Expected a file, a folder or a glob of {', '.join(suffixes)} "
        f"(also compressed: {', '.join(COMPRESSIONS)})."
    )
