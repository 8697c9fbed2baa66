"""What a web page's owner allows: signals in its HTTP header and its ``<meta>`` elements.

In come header fields and the page's metas, out come values for a document's ``meta``:

- ``robots``: directives of robots meta and ``X-Robots-Tag``, sorted, comma between ("noai, noindex").
  Those for one named crawler are left out. ``none`` stands for noindex and nofollow.
  https://www.rfc-editor.org/rfc/rfc9309 leaves them to search engines, whose rules these are:
  https://developers.google.com/search/docs/crawling-indexing/robots-meta-tag; ``noai`` and
  ``noimageai`` are DeviantArt's additions of 2022.
- ``train_ai``: false when the AI-preferences header says no to training (``Content-Usage: train-ai=n``,
  draft-ietf-aipref-attach and draft-ietf-aipref-vocab, drafts and so still moving), true when it says yes.
- ``tdm_reservation``: true when rights to text and data mining are reserved (TDMRep,
  https://www.w3.org/community/reports/tdmrep/CG-FINAL-tdmrep-20240510/).

What to do about them is for the filter ``owner_signals`` to decide.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from towpath.data.document import Meta

SIGNAL_FIELDS = frozenset({"x-robots-tag", "content-usage", "tdm-reservation"})
"""Header fields that ``header_signals`` reads, in lower case."""

_VALUED = ("max-snippet", "max-image-preview", "max-video-preview", "unavailable_after")
_HIDDEN = ", ".join(
    f'[style*="{name}:{space}{value}" i]'
    for name, value in (("display", "none"), ("visibility", "hidden"), ("font-size", "0"))
    for space in ("", " ")
)
_PREFERENCE = re.compile(r"(?:^|,)\s*([a-z*][a-z0-9_.*-]*)\s*=\s*\"?([yn])\b")


def header_signals(fields: Iterable[tuple[str, str]]) -> dict[str, str | bool]:
    """What header ``fields`` (name, value) say; a field may come more than once."""
    directives: set[str] = set()
    signals: dict[str, str | bool] = {}
    for name, value in fields:
        match name.lower():
            case "x-robots-tag":
                directives |= _header_directives(value)
            case "content-usage":
                signals |= _preference(value)
            case "tdm-reservation" if value.strip() == "1":
                signals["tdm_reservation"] = True
    return signals | _robots(directives)


def page_signals(metas: Iterable[tuple[str, str]]) -> dict[str, str | bool]:
    """What the ``<meta>`` elements of a page (name, content) say."""
    directives: set[str] = set()
    signals: dict[str, str | bool] = {}
    for name, value in metas:
        if name.lower() == "robots":
            directives |= _directives(value)
        elif name.lower() == "tdm-reservation" and value.strip() == "1":
            signals["tdm_reservation"] = True
    return signals | _robots(directives)


def merged(header: Meta, page: Meta) -> Meta:
    """Signals of both places; where they differ, each restriction stays."""
    both = _directives(f"{header.get('robots', '')},{page.get('robots', '')}")
    return {**header, **page, **_robots(both)}


def hidden_chars(tree: Any) -> int:
    """Characters inside elements of ``tree`` that their style or ``hidden`` attribute hides.

    Only what the page's own markup says: style sheets and scripts aren't read, so it is a lower bound.
    """
    if tree.body is None:
        return 0
    return sum(len(element.text) for element in tree.body.query_selector_all(f"[hidden], {_HIDDEN}"))


def _header_directives(value: str) -> set[str]:
    agent, colon, rest = value.partition(":")
    if colon and "," not in agent and agent.strip().lower() not in _VALUED:
        return _directives(rest) if agent.strip() == "*" else set()
    return _directives(value)


def _directives(value: str) -> set[str]:
    found = {part.strip().lower() for part in value.split(",")}
    if "none" in found:
        found |= {"noindex", "nofollow"}
    return {part for part in found if re.fullmatch(r"no[a-z]{1,30}", part) and part != "none"}


def _robots(directives: set[str]) -> dict[str, str | bool]:
    return {"robots": ", ".join(sorted(directives))} if directives else {}


def _preference(value: str) -> dict[str, str | bool]:
    # `bots`, all automated use, was the parent of `train-ai` in the first drafts; the child's word counts.
    stated = dict(_PREFERENCE.findall(value.lower()))
    answer = stated.get("train-ai", stated.get("bots"))
    return {} if answer is None else {"train_ai": answer == "y"}
