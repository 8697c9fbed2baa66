"""Secrets in a text: a string goes in, spans (kind, start, end) come out.

Found are keys whose form their issuer publishes (AWS, GitHub, Google, Slack, Stripe, GitLab, npm,
PyPI, OpenAI), PEM private keys, JSON Web Tokens (RFC 7519), and what is assigned to a name like
``api_key`` or ``password`` when it looks random: at least 3.5 bits of Shannon entropy a character,
the bound of the rule "generic-api-key" of gitleaks (github.com/gitleaks/gitleaks), a digit and a letter.
Deviation: values that say that they stand for another one ("example", "your-key-here") are left out.

Every quantifier is bounded, so time grows with the text's length alone.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

SecretKind = Literal["aws_key", "github_token", "service_token", "private_key", "jwt", "assigned"]
SECRET_KINDS: tuple[SecretKind, ...] = get_args(SecretKind)


class SecretSpan(NamedTuple):
    """Characters ``start`` to ``end`` of a text are a secret of this kind."""

    kind: SecretKind
    start: int
    end: int


SECRET_PATTERNS: dict[SecretKind, re.Pattern[str]] = {
    "aws_key": re.compile(r"(?<![A-Za-z0-9])(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}(?![A-Za-z0-9])"),
    "github_token": re.compile(
        r"(?<![A-Za-z0-9_])(?:gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_[A-Za-z0-9_]{82})(?![A-Za-z0-9_])"
    ),
    "service_token": re.compile(
        r"(?<![A-Za-z0-9_-])(?:AIza[A-Za-z0-9_-]{35}|xox[abeoprs]-[A-Za-z0-9-]{10,250}"
        r"|[rs]k_(?:live|test)_[A-Za-z0-9]{10,99}|glpat-[A-Za-z0-9_-]{20}|npm_[A-Za-z0-9]{36}"
        r"|pypi-AgEIcHlwaS5vcmc[A-Za-z0-9_-]{50,1000}|sk-[A-Za-z0-9_-]{20,74}T3BlbkFJ[A-Za-z0-9_-]{20,74})"
        r"(?![A-Za-z0-9_-])"
    ),
    "private_key": re.compile(
        r"-----BEGIN (?:[A-Z0-9]{1,20} ){0,3}PRIVATE KEY(?: BLOCK)?-----"
        r"[^-]{32,16384}(?:-{1,4}[^-]{1,4096}){0,4}(?:-----END [A-Z0-9 ]{0,60}-----)?"
    ),
    "jwt": re.compile(
        r"(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{10,2000}\.eyJ[A-Za-z0-9_-]{10,8000}\.[A-Za-z0-9_-]{20,2000}"
    ),
    "assigned": re.compile(
        r"""(?i)(?:api_?key|secret|token|passw(?:or)?d|credential|access_?key|auth)[a-z0-9_-]{0,20}"""
        r"""["'\]]{0,2}[ \t]{0,8}(?:=>|:=|[:=])[ \t]{0,8}"""
        r"""["'](?P<value>[A-Za-z0-9+/=_.~!@#$%^&*-]{16,200})["']"""
    ),
}
"""What each kind looks like; of "assigned" the group ``value`` is the secret, when it looks random."""

_HINTS: dict[SecretKind, tuple[str, ...]] = {
    "aws_key": ("AKIA", "ASIA", "ABIA", "ACCA"),
    "github_token": ("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"),
    "service_token": ("AIza", "xox", "_live_", "_test_", "glpat-", "npm_", "pypi-", "sk-"),
    "private_key": ("PRIVATE KEY",),
    "jwt": ("eyJ",),
    "assigned": ("key", "secret", "token", "pass", "credential", "auth"),
}
"""A text without any of these, in any case for "assigned", holds none of the kind."""

_PLACEHOLDER = re.compile(
    r"(?i)example|sample|dummy|placeholder|changeme|your|insert|redacted|x{5}|\*{4}|0{8}|1234567"
)
_MIN_ENTROPY_BITS = 3.5


def find_secrets(text: str, kinds: Sequence[SecretKind] = SECRET_KINDS) -> list[SecretSpan]:
    """What of ``kinds`` stands in ``text``, in order and without overlap; of two that overlap, the
    kind that ``SECRET_KINDS`` names first."""
    found: list[SecretSpan] = []
    lowered = text.lower() if "assigned" in kinds else ""
    for kind in SECRET_KINDS:
        if kind in kinds and any(hint in (lowered if kind == "assigned" else text) for hint in _HINTS[kind]):
            found += _search(kind, text)
    return _without_overlap(found)


def _search(kind: SecretKind, text: str) -> list[SecretSpan]:
    group = "value" if kind == "assigned" else 0
    matches = SECRET_PATTERNS[kind].finditer(text)
    return [
        SecretSpan(kind, *match.span(group))
        for match in matches
        if kind != "assigned" or looks_random(match[group])
    ]


def looks_random(value: str) -> bool:
    """Whether ``value`` may be a key: mixed, of high entropy, and not a word that stands for one."""
    if _PLACEHOLDER.search(value) or not any(map(str.isdigit, value)) or not any(map(str.isalpha, value)):
        return False
    return entropy_bits(value) >= _MIN_ENTROPY_BITS


def entropy_bits(value: str) -> float:
    """Shannon entropy of the characters of ``value``, in bits a character."""
    size = len(value)
    return sum(count / size * math.log2(size / count) for count in Counter(value).values())


def _without_overlap(spans: list[SecretSpan]) -> list[SecretSpan]:
    kept: list[SecretSpan] = []
    for span in sorted(spans, key=lambda span: (span.start, SECRET_KINDS.index(span.kind))):
        if not kept or span.start >= kept[-1].end:
            kept.append(span)
        elif SECRET_KINDS.index(span.kind) < SECRET_KINDS.index(kept[-1].kind):
            kept[-1] = span
    return kept
