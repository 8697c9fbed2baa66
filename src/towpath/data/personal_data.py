"""Personal data in a text: a string goes in, spans (kind, start, end) come out.

Found are e-mail addresses, telephone numbers, IPv4 and IPv6 addresses, IBANs (ISO 13616: length of
the country, remainder 1 modulo 97), payment cards (ISO/IEC 7812: Luhn's check digit, prefixes and
lengths of the issuers), and keys and tokens (``towpath.data.secrets``). Names and postal addresses are
not. ``find_in_column`` reads a column of texts and looks closely only where a kernel saw what could be one.

What looks the same and is not: version numbers, dates, ISBNs, identifiers. The rules against them
are beside each pattern.
"""

from __future__ import annotations

import re
from bisect import bisect
from collections.abc import Callable, Iterator, Sequence
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

from towpath.data.phone_numbers import phone_numbers
from towpath.data.secrets import find_secrets

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

PersonalDataKind = Literal["email", "phone", "ip", "iban", "card", "key"]
KINDS: tuple[PersonalDataKind, ...] = get_args(PersonalDataKind)


class Span(NamedTuple):
    """Characters ``start`` to ``end`` of a text are of this kind."""

    kind: PersonalDataKind
    start: int
    end: int


def find_personal_data(
    text: str, kinds: Sequence[PersonalDataKind] = KINDS, *, private_addresses: bool = False
) -> list[Span]:
    """What of ``kinds`` stands in ``text``, in order and without overlap.

    Args:
        text: any string.
        kinds: what is looked for.
        private_addresses: whether IP addresses of private and reserved networks count.
    """
    found: list[Span] = []
    for kind in _CLAIM_ORDER:
        if kind in kinds:
            spans = (Span(kind, start, end) for start, end in _search(kind, text, private_addresses))
            found.extend(spans)
    return _without_overlap(found)


def find_in_column(
    texts: pa.Array, kinds: Sequence[PersonalDataKind] = KINDS, *, private_addresses: bool = False
) -> dict[int, tuple[str, list[Span]]]:
    """Rows of ``texts`` that hold something: row -> (text, spans)."""
    import numpy as np
    import pyarrow as pa

    from towpath.core.texts import Texts
    from towpath.data.kernels.pii_gate import pii_gate

    bits = pii_gate(Texts.of(texts))
    may_hold: dict[PersonalDataKind, np.ndarray] = {
        kind: (bits & _GATE[kind]) != 0 if kind in _GATE else _may_hold_keys(texts) for kind in kinds
    }
    rows = np.flatnonzero(np.any(list(may_hold.values()), axis=0)) if may_hold else np.zeros(0, np.int64)
    found: dict[int, tuple[str, list[Span]]] = {}
    for row, text in zip(rows.tolist(), texts.take(pa.array(rows)).to_pylist(), strict=True):
        here: list[PersonalDataKind] = [kind for kind in kinds if may_hold[kind][row]]
        spans = find_personal_data(text or "", here, private_addresses=private_addresses)
        if spans:
            found[row] = (text, spans)
    return found


_GATE: dict[PersonalDataKind, int] = {"email": 1, "phone": 2, "card": 2, "ip": 4 | 8, "iban": 16}
"""Bits of ``kernels.pii_gate`` that each kind needs."""

_CLAIM_ORDER: tuple[PersonalDataKind, ...] = ("key", "iban", "email", "card", "ip", "phone")
"""Who keeps characters that two kinds claim: the one with more to check comes first."""


def _may_hold_keys(texts: pa.Array) -> np.ndarray:
    """bool, (N,): what ``secrets`` may find something in, by Arrow's linear-time expressions."""
    import pyarrow.compute as pc

    options = pc.MatchSubstringOptions(_KEY_HINTS)
    return pc.call_function("match_substring_regex", [texts], options).fill_null(False).to_numpy(False)


def _search(kind: PersonalDataKind, text: str, private_addresses: bool) -> Iterator[tuple[int, int]]:
    if kind == "ip":
        return _ip_addresses(text, private_addresses)
    return _FINDERS[kind](text)


def _without_overlap(spans: list[Span]) -> list[Span]:
    kept: list[Span] = []
    for span in spans:  # those listed first are kept
        at = bisect(kept, span.start, key=_start)
        apart_before = at == 0 or kept[at - 1].end <= span.start
        if apart_before and (at == len(kept) or span.end <= kept[at].start):
            kept.insert(at, span)
    return kept


def _start(span: Span) -> int:
    return span.start


_EMAIL_LOCAL = re.compile(r"[\w.+%'!#&*=?^~-]{1,64}$")
_EMAIL_DOMAIN = re.compile(
    r"((?:[^\W_](?:[^\W_]|-(?=[\w-])){0,62}\.){1,8})([^\W\d_]{2,24}|xn--[a-z0-9]{2,59})(?![^\W_])"
)
_FILE_ENDINGS = frozenset(
    "png jpg jpeg gif svg webp bmp ico css js ts jsx tsx html htm php json xml pdf txt csv tgz gz "
    "zip tar exe "
    "dll mp3 mp4 avi mov so jar whl deb rpm iso yml yaml toml lock log cpp hpp".split()
)
"""Endings that are no top-level domains: "icon@2x.png" is a file."""


def _emails(text: str) -> Iterator[tuple[int, int]]:
    at = text.find("@")
    while at >= 0:
        domain = _EMAIL_DOMAIN.match(text, at + 1)
        if domain and domain[2].lower() not in _FILE_ENDINGS:
            local = _EMAIL_LOCAL.search(text, max(0, at - 64), at)
            start = at if local is None else _local_start(text, local.start(), at)
            if start < at and text[at - 1] != ".":
                yield start, domain.end()
        at = text.find("@", at + 1)


def _local_start(text: str, start: int, at: int) -> int:
    """Without what stands before an address and is no part of it: quotes, full stops, marks."""
    while start < at and not (text[start].isalnum() or text[start] == "_"):
        start += 1
    return start


_IPV4 = re.compile(r"(?<![\w.])(?<!\d[-/,])(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})(?!\w)(?!\.\d)(?!-\w)")
_IPV6 = re.compile(
    r"(?<![\w:.])(?:[0-9A-Fa-f]{0,4}:){2,7}(?:\d{1,3}(?:\.\d{1,3}){3}|[0-9A-Fa-f]{0,4})(?![\w:])"
)
_VERSION_BEFORE = re.compile(
    r"(?:version|ver|v|release|rel|build|section|sec|chapter|§|rev|revision|update|firmware|driver|"
    r"patch|figure|fig"
    r"|table|appendix|clause|paragraph|article|step|rule|item|part|python|java|chrome|firefox|php|oid|"
    r"requirement)s?"
    r"[ .:=#/]{0,3}$",
    re.IGNORECASE,
)
_ADDRESS_BEFORE = re.compile(
    r"\bip\b|ipv4|address|host|server|ping|dns|gateway|from|connect|client|proxy|log|http", re.IGNORECASE
)
_SMALL_OCTET = 20  # 3.2.1.4 numbers a section far more often than it is a host


def _ip_addresses(text: str, private: bool) -> Iterator[tuple[int, int]]:
    for match in _IPV4.finditer(text):
        if _is_ipv4(text, match, private):
            yield match.span()
    for match in _IPV6.finditer(text):
        if _is_ipv6(match[0], private):
            yield match.span()


def _is_ipv4(text: str, match: re.Match[str], private: bool) -> bool:
    try:
        address = IPv4Address(match[0])
    except AddressValueError:
        return False
    before = text[max(0, match.start() - 24) : match.start()]
    if _VERSION_BEFORE.search(before):
        return False
    if max(map(int, match.groups())) <= _SMALL_OCTET and not _ADDRESS_BEFORE.search(before):
        return False
    return private or (address.is_global and not address.is_multicast)


def _is_ipv6(found: str, private: bool) -> bool:
    try:
        address = IPv6Address(found)
    except AddressValueError:
        return False
    global_unicast = int(address) >> 125 == 1  # 2000::/3, RFC 4291; so "a::b" of a program is none
    return (global_unicast and (private or address.is_global)) or (
        private and len(found) > 4 and address.is_private
    )


_IBAN_START = re.compile(r"(?<![A-Za-z0-9])([A-Z]{2})\d{2}(?=[ -]?[A-Z0-9]{2})")
_IBAN_LENGTHS = {
    code: int(length)
    for length, codes in {
        "15": "NO", "16": "BE", "18": "DK FI FK FO GL NL SD", "19": "MK SI", "20": "AT BA EE KZ LT LU MN XK",
        "21": "CH HR LI LV", "22": "BG BH CR DE GB GE IE ME RS VA", "23": "AE GI IL IQ OM SO TL",
        "24": "AD CZ ES MD PK RO SA SE SK TN VG", "25": "LY PT ST", "26": "IS TR",
        "27": "BI DJ FR GR IT MC MR SM", "28": "AL AZ BY CY DO GT HN HU LB NI PL SV", "29": "BR EG PS QA UA",
        "30": "JO KW MU YE", "31": "MT SC", "32": "LC", "33": "RU",
    }.items()
    for code in codes.split()
}  # fmt: skip
"""Characters of an IBAN by country: SWIFT's IBAN registry."""


def _ibans(text: str) -> Iterator[tuple[int, int]]:
    for match in _IBAN_START.finditer(text):
        length = _IBAN_LENGTHS.get(match[1])
        end = length and _end_of_code(text, match.start(), length)
        if end and _is_iban(re.sub("[ -]", "", text[match.start() : end])):
            yield match.start(), end


def _end_of_code(text: str, start: int, length: int) -> int | None:
    """Where ``length`` capitals and digits from ``start`` end, single spaces and hyphens between them."""
    at, seen = start, 0
    while seen < length and at < len(text):
        character = text[at]
        if character.isascii() and (character.isdigit() or character.isupper()):
            seen += 1
        elif character not in " -" or text[at - 1] in " -":
            return None
        at += 1
    ends_here = at == len(text) or not (text[at].isalnum() or text[at] == "_")
    return at if seen == length and ends_here else None


def _is_iban(code: str) -> bool:
    return int("".join(str(int(character, 36)) for character in code[4:] + code[:4])) % 97 == 1


_CARD = re.compile(
    r"(?<![\w./#+\-])(?<!\d[ ,])(?:\d{13,19}|\d{4}([ -])\d{4}\1\d{4}\1\d{1,4}(?:\1\d{1,3})?"
    r"|\d{4}([ -])\d{6}\2\d{4,5})"
    r"(?!\w)(?![ .,\-/]\d)"
)
_ISSUERS = re.compile(
    r"4(?:\d{12}|\d{15}|\d{18})|(?:5[1-5]\d\d|222[1-9]|22[3-9]\d|2[3-6]\d\d|27[01]\d|2720)\d{12}|3[47]\d{13}"
    r"|(?:6011|64[4-9]\d|65\d\d)\d{12,15}|62\d{14,17}|3(?:0[0-5]|[689]\d)\d{11,16}|35(?:2[89]|"
    r"[3-8]\d)\d{12,15}"
)
"""Visa, Mastercard, American Express, Discover, UnionPay, Diners Club, JCB. Maestro is left out: of
its prefixes and lengths half of all long numbers would be some."""


def _cards(text: str) -> Iterator[tuple[int, int]]:
    for match in _CARD.finditer(text):
        digits = re.sub("[ -]", "", match[0])
        if (
            _ISSUERS.fullmatch(digits)
            and _luhn(digits)
            and len(set(digits)) > 1
            and not _in_url(text, match.start())
        ):
            yield match.span()


def _luhn(digits: str) -> bool:
    doubled = (sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2])
    return (sum(map(int, digits[-1::-2])) + sum(doubled)) % 10 == 0


def _in_url(text: str, at: int) -> bool:
    """Whether ``at`` is inside a web address: numbers there are names of pages."""
    start = max(text.rfind(space, max(0, at - 200), at) for space in " \n\t\"'<(")
    word = text[max(start, at - 200) + 1 : at]
    return "://" in word or word.startswith("www.")


_KEY_HINTS = (
    r"AKIA|ASIA|ABIA|ACCA|gh[pousr]_|github_pat_|AIza|xox[abeoprs]-|[rs]k_(?:live|test)_|glpat-|npm_|pypi-AgE"
    r"|sk-[A-Za-z0-9_-]{20}|PRIVATE KEY|eyJ"
    r"|(?i:api_?key|secret|token|passw(?:or)?d|credential|access_?key|auth)[A-Za-z0-9_\]\"' \t-]{0,40}[:=]"
)
"""The beginnings of all that ``towpath.data.secrets`` looks for."""


def _keys(text: str) -> Iterator[tuple[int, int]]:
    return ((secret.start, secret.end) for secret in find_secrets(text))


def _phones(text: str) -> Iterator[tuple[int, int]]:
    return ((start, end) for start, end in phone_numbers(text) if not _in_url(text, start))


_FINDERS: dict[PersonalDataKind, Callable[[str], Iterator[tuple[int, int]]]] = {
    "email": _emails,
    "phone": _phones,
    "iban": _ibans,
    "card": _cards,
    "key": _keys,
}
