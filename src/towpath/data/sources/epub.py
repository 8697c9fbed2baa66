"""EPUB books: a ZIP of XHTML pages, read in the order of the book's spine, in memory.

Format: EPUB 3.3, https://www.w3.org/TR/epub-33/ (container.xml names the package, its spine the pages).
Names in the archive are looked up and never written, so names that climb out of it lead nowhere.
"""

from __future__ import annotations

import io
import posixpath
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote

from towpath.core.errors import DataError
from towpath.data.sources.limits import NOT_XML, TooLarge, safe_expat

_CONTAINER = "META-INF/container.xml"
_MAX_RATIO = 200
_FREE_BYTES = 1 << 20
_MAX_DIRECTORY_BYTES = 4 << 20
_END_BYTES, _MAX_COMMENT_BYTES = 22, 65_535
_END, _END_64 = b"PK\x05\x06", b"PK\x06\x07"
_PAGE_TYPES = ("application/xhtml+xml", "text/html")
_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    OSError,
    NotImplementedError,
    RuntimeError,
    ValueError,
    KeyError,
)


@dataclass
class Book:
    """What an EPUB holds."""

    meta: dict[str, str] = field(default_factory=dict)
    """``title``, ``creator``, ``language``, ``date``, ``rights``: those that the package states."""
    pages: list[tuple[str, str]] = field(default_factory=list)
    """(name in the archive, text) in reading order."""
    n_damaged: int = 0
    """Pages that could not be read."""


def read_epub(path: Path, max_bytes: int, stored: bytes | None = None) -> Book:
    """The book ``path``; its pages together hold at most ``max_bytes`` before their markup is removed.

    ``stored`` are its bytes where the file is compressed once more.

    Raises:
        TooLarge: it holds more, or a member is more than 200 times its stored size, or its list of
            members is longer than 4 MiB, of which ``zipfile`` would make ten times as much.
        DataError: it is no EPUB or nothing of it can be read.
    """
    try:
        with path.open("rb") if stored is None else io.BytesIO(stored) as file:
            _check_directory(file)
            with zipfile.ZipFile(file) as archive:
                return _book(archive, max_bytes)
    except (*_DAMAGE, *NOT_XML) as error:
        raise DataError(
            f"{path} can't be read as EPUB: {str(error) or type(error).__name__}. "
            "Expected a whole .epub without DRM; fetch it again or leave it out."
        ) from error


def _check_directory(file: BinaryIO) -> None:
    size = file.seek(0, io.SEEK_END)
    file.seek(max(size - _END_BYTES - _MAX_COMMENT_BYTES, 0))
    tail = file.read()
    end = tail.rfind(_END)
    n_bytes = int.from_bytes(tail[end + 12 : end + 16], "little")
    if end >= 0 and (n_bytes > _MAX_DIRECTORY_BYTES or _END_64 in tail):
        raise TooLarge(f"The archive's list of members has {n_bytes:,} bytes, or says so in 64 bits.")


def _book(archive: zipfile.ZipFile, max_bytes: int) -> Book:
    from towpath.data.sources.html_text import HtmlConfig, read_page

    package_name = _Container.of(_member(archive, _CONTAINER, max_bytes)).package
    package = _Package.of(_member(archive, package_name, max_bytes))
    book = Book(package.meta)
    config = HtmlConfig(main_content=False, max_bytes=max_bytes)
    left = max_bytes
    for name in package.pages(posixpath.dirname(package_name)):
        try:
            content = _member(archive, name, left)
        except _DAMAGE:
            book.n_damaged += 1
            continue
        left -= len(content)
        book.pages.append((name, read_page(content, None, config).text.strip()))
    return book


def _member(archive: zipfile.ZipFile, name: str, max_bytes: int) -> bytes:
    info = archive.getinfo(name)
    if info.file_size > min(max_bytes, max(_MAX_RATIO * info.compress_size, _FREE_BYTES)):
        raise TooLarge(
            f"{name} holds {info.file_size:,} bytes, {info.compress_size:,} as stored: above the cap."
        )
    with archive.open(info) as file:
        return file.read(info.file_size)


@dataclass
class _Container:
    package: str = ""

    @classmethod
    def of(cls, xml: bytes) -> _Container:
        container = cls()

        def start(tag: str, attributes: dict[str, str]) -> None:
            if _local(tag) == "rootfile" and not container.package:
                container.package = attributes.get("full-path", "")

        parser = safe_expat()
        parser.StartElementHandler = start
        parser.Parse(xml, True)
        return container


@dataclass
class _Package:
    meta: dict[str, str] = field(default_factory=dict)
    manifest: dict[str, str] = field(default_factory=dict)
    spine: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, xml: bytes) -> _Package:
        package = cls()
        kept: list[str] = []

        def start(tag: str, attributes: dict[str, str]) -> None:
            tag = _local(tag)
            kept.clear()
            if tag == "item" and attributes.get("media-type") in _PAGE_TYPES:
                package.manifest[attributes.get("id", "")] = attributes.get("href", "")
            elif tag == "itemref":
                package.spine.append(attributes.get("idref", ""))

        def end(tag: str) -> None:
            tag, text = _local(tag), " ".join("".join(kept).split())
            if tag in ("title", "creator", "language", "date", "rights") and text:
                package.meta.setdefault(tag, text[:500])
            kept.clear()

        parser = safe_expat()
        parser.buffer_text = True
        parser.StartElementHandler, parser.EndElementHandler = start, end
        parser.CharacterDataHandler = kept.append
        parser.Parse(xml, True)
        return package

    def pages(self, folder: str) -> Iterator[str]:
        """Names of the pages, each once: a spine that names a page a thousand times is a bomb."""
        for name in dict.fromkeys(self.spine):
            if name in self.manifest:
                yield posixpath.normpath(posixpath.join(folder, unquote(self.manifest[name])))


def _local(tag: str) -> str:
    return tag.rpartition(":")[2]
