"""English words and symbols of a text, as spaCy's rules split them; the oracle of the kernel's words.

Honnibal et al., spaCy 3.8 (MIT): between white space, prefixes and suffixes are taken off in turn,
what is a known exception or a URL stays whole, the rest is split at infixes.
Deviations: exceptions that the suffix rules tear apart (emoticons such as ``:-)`` within a longer
string) are not joined again, and in URLs addresses of private networks are not told apart.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

from towpath.data.kernels.text_classes import UNITS, characters, english_exceptions

_HOST = "A-Za-z0-9\u00a1-\uffff"


def split_words(text: str) -> list[str]:
    """The words and symbols of ``text`` in their order, without white space."""
    return [token for chunk in _chunks().findall(text) for token in _split(chunk)]


def _split(chunk: str) -> Iterator[str]:
    exceptions = english_exceptions()
    ends: list[str] = []
    while chunk and chunk not in exceptions:
        prefix, suffix = _affixes(chunk)
        if not prefix and not suffix:
            break
        without_prefix, without_suffix = chunk[prefix:], chunk[: len(chunk) - suffix]
        if prefix and without_prefix in exceptions:
            suffix = 0
        elif suffix and without_suffix in exceptions:
            prefix = 0
        if prefix:
            yield chunk[:prefix]
        if suffix:
            ends.append(chunk[len(chunk) - suffix :])
        chunk = chunk[prefix : len(chunk) - suffix]
    if chunk:
        yield from exceptions.get(chunk) or _at_infixes(chunk)
    yield from reversed(ends)


def _affixes(chunk: str) -> tuple[int, int]:
    """Characters of the prefix of ``chunk``, and of the suffix of what is left."""
    prefix = _prefix().match(chunk)
    n_prefix = prefix.end() if prefix else 0
    suffix = _suffix().search(chunk[n_prefix:])
    return n_prefix, len(chunk) - n_prefix - suffix.start() if suffix else 0


def _at_infixes(chunk: str) -> Iterator[str]:
    if "." in chunk and _url().match(chunk):
        yield chunk
        return
    start = 0
    for infix in _infix().finditer(chunk):
        if infix.start() == 0:
            continue
        if infix.start() > start:
            yield chunk[start : infix.start()]
        yield infix.group()
        start = infix.end()
    if start < len(chunk):
        yield chunk[start:]


@cache
def _chunks() -> re.Pattern[str]:
    return re.compile(f"[^{characters('space')}]+")


@cache
def _prefix() -> re.Pattern[str]:
    return re.compile(rf"\+(?![0-9])|\.\.+|(?:US|C|A)\$|[{characters('prefix')}]")


@cache
def _suffix() -> re.Pattern[str]:
    upper, units = characters("upper"), "|".join(map(re.escape, UNITS))
    return re.compile(
        rf"(?:\.\.+|['’][sS]|[{characters('affix')}]|(?<=[0-9])(?:\+|[{characters('currency')}]|{units})"
        rf"|(?<=°[FfCcKk])\.|(?<=[{characters('before_dot')}])\.|(?<=[{upper}][{upper}])\.)\Z"
    )


@cache
def _infix() -> re.Pattern[str]:
    names = ("alpha", "lower", "upper", "quote", "icon")
    alpha, lower, upper, quote, icon = (characters(name) for name in names)
    return re.compile(
        rf"\.\.+|…|[{icon}]|(?<=[0-9])[+\-*^](?=[0-9-])|(?<=[{lower}{quote}])\.(?=[{upper}{quote}])"
        rf"|(?<=[{alpha}]),(?=[{alpha}])|(?<=[{alpha}0-9])(?:-{{1,3}}|–|——?|~)(?=[{alpha}])"
        rf"|(?<=[{alpha}0-9])[:<>=/](?=[{alpha}])"
    )


@cache
def _url() -> re.Pattern[str]:
    label = rf"(?:[{_HOST}][{_HOST}_-]{{0,62}})?[{_HOST}]\."
    return re.compile(
        rf"(?:[A-Za-z0-9_+\-.]{{2,}}://|.+@)?(?:[0-9]{{1,3}}(?:\.[0-9]{{1,3}}){{3}}"
        rf"|(?:{label})+(?:(?![\U00010000-\U0010ffff])[{characters('lower')}]){{2,63}})(?::[0-9]{{2,5}})?(?:[/?#].*)?\Z",
        re.DOTALL,
    )
