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

_LONGEST_EXCEPTION = 32
_SUFFIX_SIGHT = 16
_HOST = "A-Za-z0-9\u00a1-\uffff"


def split_words(text: str) -> list[str]:
    """The words and symbols of ``text`` in their order, without white space."""
    return [token for chunk in _chunks().findall(text) for token in _split(chunk)]


def _split(chunk: str) -> Iterator[str]:
    low, high = 0, len(chunk)
    ends: list[str] = []
    while low < high and not _exception(chunk, low, high):
        prefix = _prefix().match(chunk, low, high)
        after = prefix.end() if prefix else low
        before = high - _suffix_chars(chunk, after, high)
        if after == low and before == high:
            break
        if low < after < high and _exception(chunk, after, high):
            before = high
        elif low < before < high and _exception(chunk, low, before):
            after = low
        if after > low:
            yield chunk[low:after]
        if before < high:
            ends.append(chunk[before:high])
        low, high = after, before
    if low < high:
        yield from _exception(chunk, low, high) or _at_infixes(chunk[low:high])
    yield from reversed(ends)


def _exception(chunk: str, low: int, high: int) -> tuple[str, ...] | None:
    return english_exceptions().get(chunk[low:high]) if high - low <= _LONGEST_EXCEPTION else None


def _suffix_chars(chunk: str, low: int, high: int) -> int:
    """Characters of the suffix of ``chunk[low:high]``; only a run of dots is longer than four."""
    start = max(low, high - _SUFFIX_SIGHT)
    suffix = _suffix().search(chunk[start:high])
    if suffix is None:
        return 0
    size = high - start - suffix.start()
    while size > 1 and size < high - low and chunk[high - size - 1 : high - size + 1] == "..":
        size += 1
    return size


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
