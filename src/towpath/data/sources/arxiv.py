r"""arXiv: the LaTeX sources of papers, one document each.

A file is an e-print (gzip of one .tex, or of a tar of its sources), one .tex, or one of arXiv's bulk
tars (``arXiv_src_*.tar``) of e-prints. Everything happens in memory and nothing is written, so no
name or link in an archive leads anywhere. The main file is the one with \documentclass that is named
as main files are, or the longest; what it \input's is put in its place. ``byte_offset`` is that
of the e-print in a bulk tar, else 0. The date is the month that the identifier tells.
"""

from __future__ import annotations

import io
import posixpath
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from towpath.core.errors import DataError
from towpath.data.document import Document, Rejected
from towpath.data.sources.archives import Member, gunzipped, is_gzip, is_tar, tar_members, whole_file
from towpath.data.sources.file_source import FileSource
from towpath.data.sources.latex import latex_text, without_comments
from towpath.data.sources.limits import (
    DOCUMENT_SECONDS,
    MAX_DOCUMENT_BYTES,
    TookTooLong,
    TooLarge,
    time_limit,
)
from towpath.data.sources.streams import opened

_BULK = re.compile(r"arXiv_src_\d{4}_\d+\.tar$")
_NEW_ID = re.compile(r"(?<!\d)(\d{2})(0[1-9]|1[0-2])\.(\d{4,5})(?:v\d+)?(?!\d)")
_OLD_ID = re.compile(r"([a-z]+(?:-[a-z]+)?)(?:\.[A-Z]{2})?/?(\d{2})(0[1-9]|1[0-2])(\d{3})(?:v\d+)?(?!\d)")
_INPUT = re.compile(r"\\(?:input|include|subfile)\s?(?:\{\s{0,3}([^{}\n]{1,200})\}|([^\s{}\\]{1,200}))")
_MAIN_NAMES = ("main.tex", "ms.tex", "paper.tex", "article.tex", "root.tex", "arxiv.tex")
_MAX_INPUT_DEPTH = 5
_MAX_CHARS = 8_000_000


class _EprintKinds(tuple[str, ...]):
    """Also the suffixes of identifiers: "2101.00001.gz" is compressed, and of the kind ".00001"."""

    __slots__ = ()

    def __contains__(self, kind: object) -> bool:
        return super().__contains__(kind) or re.fullmatch(r"\.\d{4,5}(?:v\d+)?", str(kind)) is not None


class ArxivSource(FileSource):
    """E-prints and bulk tars of them."""

    suffixes: ClassVar = _EprintKinds((".tex", ".tar"))

    type: Literal["arxiv"] = "arxiv"
    category: str = "academic"
    """What the mixture counts it as."""
    max_bytes: int = Field(default=50_000_000, ge=1)
    """Larger e-prints, after decompression, are rejected; most of one are its figures. Its LaTeX may have
    16 MiB."""
    max_seconds: float = Field(default=DOCUMENT_SECONDS, gt=0)
    """E-prints that take longer are rejected."""

    def read_file(self, path: Path, place: str) -> Iterator[Document | Rejected]:
        """Every paper of the file ``path``."""
        if _BULK.search(path.name):
            with opened(path) as stream:
                for member in tar_members(stream, self.max_bytes):
                    yield self._paper(member, f"{place}#{member.name}")
        else:
            yield self._paper(whole_file(path, self.max_bytes), place)

    def _paper(self, eprint: Member, place: str) -> Document | Rejected:
        identifier, date = identity(place)
        reason, text = eprint.reason or "", ""
        if not reason:
            try:
                with time_limit(self.max_seconds):
                    sources = _sources(eprint.content, self.max_bytes)
                    text = latex_text(with_inputs(sources)) if sources else ""
                reason = "" if text else ("empty" if sources else "no_latex")
            except TookTooLong:
                reason = "too_slow"
            except TooLarge:
                reason = "too_large"
            except (DataError, RecursionError):
                reason = "damaged_file"
        document = self.document(
            text if not reason else eprint.content[:10_000].decode("utf-8", "replace"),
            path=place,
            url=f"https://arxiv.org/abs/{identifier}" if identifier else None,
            byte_offset=eprint.byte_offset,
            date=date,
            meta={"arxiv_id": identifier} if identifier else {},
        )
        return Rejected(document, reason) if reason else document


def identity(place: str) -> tuple[str | None, str | None]:
    """arXiv identifier and month ("2019-11") that the name ``place`` tells."""
    name = place.rpartition("#")[2]
    if match := _NEW_ID.search(name):
        return f"{match[1]}{match[2]}.{match[3]}", f"20{match[1]}-{match[2]}"
    if match := _OLD_ID.search(name):
        century = 19 if int(match[2]) > 90 else 20
        return f"{match[1]}/{match[2]}{match[3]}{match[4]}", f"{century}{match[2]}-{match[3]}"
    return None, None


def _sources(content: bytes, max_bytes: int) -> dict[str, str]:
    """The .tex files of an e-print by their names; empty when there is none."""
    if is_gzip(content):
        content = gunzipped(content, max_bytes)
    if is_tar(content):
        return dict(_latex_files(content, max_bytes))
    if len(content) > MAX_DOCUMENT_BYTES:
        raise TooLarge(f"Its LaTeX has {len(content):,} bytes.")
    text = _decoded(content)
    return {"main.tex": text} if "\\documen" in text or "\\begin{" in text or "\\section" in text else {}


def _latex_files(content: bytes, max_bytes: int) -> Iterator[tuple[str, str]]:
    left = MAX_DOCUMENT_BYTES
    for file in tar_members(io.BytesIO(content), max_bytes):
        if not file.reason and file.name.lower().endswith((".tex", ".ltx", ".latex")):
            left -= len(file.content)
            if left < 0:
                raise TooLarge(f"Its LaTeX has more than {MAX_DOCUMENT_BYTES:,} bytes.")
            yield posixpath.normpath(file.name), _decoded(file.content)


def _decoded(content: bytes) -> str:
    try:
        text = content.decode()
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def with_inputs(sources: Mapping[str, str]) -> str:
    r"""The main file of ``sources`` with those that it \input's in their places.

    Raises:
        TooLarge: they hold more than 8 million characters put together.
    """
    main = max(sources, key=lambda name: _main_score(name, sources[name]))
    left = [_MAX_CHARS]
    return _resolved(main, sources, left, _MAX_INPUT_DEPTH)


def _main_score(name: str, text: str) -> tuple[bool, bool, bool, int]:
    has_class = "\\documentclass" in text or "\\documentstyle" in text
    return has_class, "\\begin{document}" in text, posixpath.basename(name).lower() in _MAIN_NAMES, len(text)


def _resolved(name: str, sources: Mapping[str, str], left: list[int], depth: int) -> str:
    text = without_comments(sources[name])
    left[0] -= len(text)
    if left[0] < 0:
        raise TooLarge(f"Its sources put together hold more than {_MAX_CHARS:,} characters.")

    def included(match: re.Match[str]) -> str:
        wanted = posixpath.normpath((match[1] or match[2]).strip())
        found = next((item for item in (wanted, f"{wanted}.tex") if item in sources), None)
        if found is None or depth == 0 or found == name:
            return ""
        return _resolved(found, sources, left, depth - 1)

    return _INPUT.sub(included, text)
