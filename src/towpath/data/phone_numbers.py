"""Telephone numbers in a text: a string goes in, (start, end) of each number comes out.

A number is found by its form, and a form has to be plausible: a country code that ITU-T E.164
assigns and 8 to 15 digits, a North American number by the rules of its numbering plan (no area or
exchange that starts with 0 or 1 or ends in 11), a national number with trunk 0 in one of the
groupings that countries write. What could as well be something else (seven digits, ten in a row)
counts only after a word such as "phone". Numbers written in letters (1-800-FLOWERS) are not found.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

_GAP = r"[ \u00a0\u202f.\-\u2010-\u2013/]"
_END = r"(?![\w\u0080-\uffff])(?![.,:/\-\u2013]\d)(?!%)"
_EXTENSION = r"(?:,?\s?(?:x|ext\.?|extension)\s?\d{1,5}(?!\d))?"

_FORMS = re.compile(
    rf"""(?=[+(\d])(?:
    (?<![\w+])\+(?P<international>
        [ ]?\d(?:[ \u00a0\u202f.\-\u2010-\u2013/()]{{0,3}}\d){{7,14}}){_EXTENSION}{_END}
    | (?<![\w.,:/+\-])(?<!\d\s)00(?P<double_zero>{_GAP}?[1-9]\d{{0,2}}(?:{_GAP}[(]?\d+[)]?){{1,6}}){_END}
    | (?<![\w.,:/+\-\u2013$€£\#=])(?<!\d\s)(?P<american>(?:1[ .\-])?(?:\([2-9]\d\d\)[ ]?|[2-9]\d\d[ .\-/])
        [2-9]\d\d[ .\-\u2010-\u2013]\d{{4}}){_EXTENSION}{_END}
    | (?<![\w.,:/+\-\u2013$€£\#=])(?<!\d\s)(?P<trunk>
        \(?0[1-9]\d{{0,4}}\)?(?:[ ]?{_GAP}[ ]?\d{{2,8}}){{1,4}}){_END}
    | (?<![\w.,:/+\-\u2013$€£\#=])(?<!\d\s)(?P<other>8[ ]?\(\d{{3}}\)[ ]?\d{{3}}-\d\d-\d\d      # Russia
        | 1[3-9]\d[ \-]\d{{4}}[ \-]\d{{4}}                                             # China
        | \([1-9]\d\)[ ]?9?[ ]?\d{{4}}-\d{{4}}){_END}                         # Brazil
    )""",
    re.VERBOSE,
)

_ANY_NUMBER = re.compile(
    r"(?=[+(\d])(?<![\w.,:/+\-])[+(]?\d(?:[ \u00a0().\-\u2010-\u2013/]{0,2}\d){6,14}(?!\w)(?![.,:]\d)(?!%)"
)
_WORD_BEFORE = re.compile(
    r"\b(?:tel(?:e?phone|efon|efone|[ée]fono)?|phone|ph|call(?:\s(?:us|me|him|her|them))?|mobile|mob|cell"
    r"|cellphone|fax|text|sms|whats\s?app|hotline|helpline|dial|t[ée]l[ée]phone|t[ée]l|handy|m[óo]vil)\b"
    r"[^\d\n+]{0,15}$",
    re.IGNORECASE,
)
_WORD_CHARS = 32  # the longest of those words, and what may stand between it and the number

_DATE = re.compile(
    r"(?:19|20)\d\d[-./ \u2013](?:0?[1-9]|1[0-2])[-./ ]\d\d?\b|\d\d?[-./ ]\d\d?[-./ ](?:19|20)\d\d\b"
    r"|(?:19|20)\d\d ?[-/\u2013] ?(?:19|20)\d\d\b|(?:19|20)\d{6}$"
)

_TRUNK_GROUPS = frozenset(
    tuple(map(int, grouping))
    for grouping in (
        "22222 244 2334 2322 23222 27 28 "  # France; Australia, Japan, Ireland; Belgium; Netherlands
        "344 334 3322 3222 32222 324 35 36 37 38 "  # United Kingdom, Japan; Switzerland; Germany
        "433 434 4222 4322 43222 424 45 46 47 48 442 "  # Australia, Ireland; Belgium; Germany
        "533 56 57 5222 542 523"  # United Kingdom; Germany
    ).split()
)
"""Digits of each group of a number with trunk 0, in the ways these countries write them."""

_COUNTRY_CODES = frozenset(
    (
        "1 7 20 27 30 31 32 33 34 36 39 40 41 43 44 45 46 47 48 49 51 52 53 54 55 56 57 58 60 61 62 63 64 65 "
        "66 81 82 84 86 90 91 92 93 94 95 98 211 212 213 216 218 220 221 222 223 224 225 226 227 228 229 230 "
        "231 232 233 234 235 236 237 238 239 240 241 242 243 244 245 246 247 248 249 250 251 252 253 254 255 "
        "256 257 258 260 261 262 263 264 265 266 267 268 269 290 291 297 298 299 350 351 352 353 354 355 356 "
        "357 358 359 370 371 372 373 374 375 376 377 378 380 381 382 383 385 386 387 389 420 421 423 "
        "500 501 502 "
        "503 504 505 506 507 508 509 590 591 592 593 594 595 596 597 598 599 670 672 673 674 675 676 677 678 "
        "679 680 681 682 683 685 686 687 688 689 690 691 692 800 808 850 852 853 855 856 870 880 886 960 961 "
        "962 963 964 965 966 967 968 970 971 972 973 974 975 976 977 979 992 993 994 995 996 998"
    ).split()
)
"""ITU-T E.164, list of assigned country codes."""

_MAX_CODE_DIGITS = 3
_MAX_GROUPS = 8
_MAX_SINGLE_DIGITS = 2  # "+1 2 3 4 5 6 7 8" is a row of numbers, "+7 9..." and "(0)" are not


def phone_numbers(text: str) -> Iterator[tuple[int, int]]:
    """(start, end) of each telephone number of ``text``; the same number may come twice."""
    for match in _FORMS.finditer(text):
        if _plausible(match):
            yield match.span()
    for match in _ANY_NUMBER.finditer(text):
        before = text[max(0, match.start() - _WORD_CHARS) : match.start()]
        if _WORD_BEFORE.search(before) and not _DATE.match(match[0]):
            yield match.span()


def _plausible(match: re.Match[str]) -> bool:
    number = match[match.lastgroup or 0]
    groups = re.findall(r"\d+", number)
    if match.lastgroup in ("international", "double_zero"):
        return _is_international(groups)
    if match.lastgroup == "american":
        return _is_american("".join(groups)[-10:])
    if match.lastgroup == "trunk":
        return tuple(map(len, groups)) in _TRUNK_GROUPS and not _is_row_or_date(number, groups)
    return True


def _is_international(groups: list[str]) -> bool:
    digits = "".join(groups)
    sizes = (len(groups[0]),) if len(groups[0]) <= _MAX_CODE_DIGITS else (1, 2, 3)
    code = next((digits[:size] for size in sizes if digits[:size] in _COUNTRY_CODES), None)
    if code is None or not 8 <= len(digits) <= 15 or len(groups) > _MAX_GROUPS:
        return False
    if code == "1":
        return len(digits) == 11 and _is_american(digits[1:])
    return sum(len(group) == 1 for group in groups) <= _MAX_SINGLE_DIGITS


def _is_american(digits: str) -> bool:
    area, exchange = digits[:3], digits[3:6]
    return all(part[0] in "23456789" and part[1:] != "11" for part in (area, exchange))


def _is_row_or_date(number: str, groups: list[str]) -> bool:
    """Whether the groups are a date, or count up (01 02 03 04 05)."""
    values = [int(group) for group in groups]
    steps = {later - earlier for earlier, later in itertools.pairwise(values)}
    return (len(steps) == 1 and len(values) > 2) or bool(_DATE.match(number))
