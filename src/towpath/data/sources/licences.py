"""Which licence a repository has: the files of its top folder go in, an SPDX identifier comes out.

A licence file is compared by its words: short licences by the share of word pairs that they have in
common (Sørensen-Dice, as github.com/licensee/licensee does), long ones by their title and a sentence that
no other licence has. Copyright lines don't count. Else an SPDX-License-Identifier line or what the package's
own files say (pyproject.toml, setup.cfg, package.json, Cargo.toml) is taken; else it is "unknown".
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

UNKNOWN: Final = "unknown"
MIN_SIMILARITY: Final = 0.9
"""Share of word pairs in common from which two texts are the same licence."""
LICENCE_NAME = re.compile(r"(?i)^(?:un)?licen[cs]e(?:[.-].{1,20})?$|^copying(?:\.lesser)?(?:\.\w{1,5})?$")
METADATA_NAMES = frozenset({"pyproject.toml", "setup.cfg", "package.json", "cargo.toml"})

_SHORT_TEXTS = Path(__file__).with_name("short_licences.json")
"""SPDX identifier -> words of its text, in lower case and without punctuation."""
_LONG = {
    "Apache-2.0": (
        "apache license version 2 0",
        "terms and conditions for use reproduction and distribution",
    ),
    "AGPL-3.0": ("gnu affero general public license version 3", "remote network interaction"),
    "LGPL-2.1": (
        "gnu lesser general public license version 2 1",
        "terms and conditions for copying distribution",
    ),
    "LGPL-3.0": (
        "gnu lesser general public license version 3",
        "incorporates the terms and conditions of version 3",
    ),
    "GPL-3.0": ("gnu general public license version 3", "terms and conditions 0 definitions"),
    "GPL-2.0": ("gnu general public license version 2", "terms and conditions for copying distribution and"),
    "MPL-2.0": ("mozilla public license version 2 0", "incompatible with secondary licenses"),
    "EPL-2.0": ("eclipse public license v 2 0", "secondary license"),
    "CC0-1.0": ("cc0 1 0 universal", "affirmer"),
    "CC-BY-SA-4.0": ("attribution sharealike 4 0 international", "adapter s license"),
    "CC-BY-4.0": ("attribution 4 0 international", "licensed material"),
    "BSL-1.0": ("boost software license version 1 0", "machine executable object code"),
}
"""Title and a phrase of licences that are long; the first whose two are there counts."""
_COPYRIGHT = re.compile(r"\W{0,9}(?:copyright|\(c\)|©|all rights reserved)")
_TITLE_WORDS = 400
_MAX_CHARS = 100_000
_IDENTIFIER = re.compile(
    r"SPDX-License-Identifier:[ \t]{0,4}"
    r"([A-Za-z0-9.+-]{2,40}(?: (?:AND|OR|WITH) [A-Za-z0-9.+-]{2,40}){0,4})"
)
_EXPRESSION = re.compile(r"^[A-Za-z0-9.+()-]+(?: (?:AND|OR|WITH) [A-Za-z0-9.+()-]+)*$")


def licence_of_files(files: Mapping[str, str]) -> str:
    """The licence of a repository whose top folder holds ``files``, name -> text.

    Two licence files that differ are joined with OR, as in repositories that leave the choice.
    """
    named = {name: text for name, text in sorted(files.items()) if LICENCE_NAME.match(name)}
    found = sorted({licence for text in named.values() if (licence := licence_of_text(text)) != UNKNOWN})
    if {"GPL-3.0", "LGPL-3.0"} <= set(found):
        found.remove("GPL-3.0")  # LGPL 3 is terms on top of the GPL, whose text goes with it
    if found:
        return " OR ".join(found)
    return next(filter(None, map(_stated, files, files.values())), UNKNOWN)


def licence_of_text(text: str) -> str:
    """The SPDX identifier of a licence's text."""
    text = text[:_MAX_CHARS]
    if stated := _IDENTIFIER.search(text):
        return stated[1]
    words = _words(text)
    title, whole = " ".join(words[:_TITLE_WORDS]), " ".join(words)
    for licence, (name, phrase) in _LONG.items():
        if name in title and phrase in whole:
            return licence
    pairs = _pairs(words)
    similar = {licence: _dice(pairs, known) for licence, known in _known().items()}
    best = max(similar, key=lambda licence: similar[licence])
    return best if similar[best] >= MIN_SIMILARITY else UNKNOWN


def _words(text: str) -> list[str]:
    lines = [line for line in text.lower().splitlines() if not _COPYRIGHT.match(line)]
    words = re.findall(r"[a-z0-9]+", " ".join(lines))
    return [word for word in words if not re.fullmatch(r"[a-z]|[1-3]", word) or word in "123"]


def _pairs(words: list[str]) -> frozenset[tuple[str, str]]:
    return frozenset(pairwise(words))


@cache
def _known() -> dict[str, frozenset[tuple[str, str]]]:
    texts = json.loads(_SHORT_TEXTS.read_bytes())
    return {licence: _pairs(text.split()) for licence, text in texts.items()}


def _dice(left: frozenset[tuple[str, str]], right: frozenset[tuple[str, str]]) -> float:
    return 2 * len(left & right) / max(len(left) + len(right), 1)


def _stated(name: str, text: str) -> str | None:
    """What one of the package's own files says, when it is an SPDX expression."""
    try:
        found = _of_metadata(name.lower(), text)
    except (ValueError, RecursionError, AttributeError):
        return None
    return found.strip() if isinstance(found, str) and _EXPRESSION.match(found.strip()) else None


def _of_metadata(name: str, text: str) -> Any:
    if name == "package.json":
        return json.loads(text).get("license")
    if name == "pyproject.toml":
        licence = tomllib.loads(text).get("project", {}).get("license")
        return licence.get("text") if isinstance(licence, dict) else licence
    if name == "cargo.toml":
        return tomllib.loads(text).get("package", {}).get("license")
    if name == "setup.cfg" and (found := re.search(r"(?m)^license[ \t]{0,4}=[ \t]{0,4}(\S{1,60})$", text)):
        return found[1]
    return None
