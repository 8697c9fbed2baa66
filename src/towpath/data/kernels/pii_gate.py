"""Which kinds of personal data a text could hold, so that regular expressions read few texts.

N texts go in, a byte of bits for each comes out. A bit that is not set means that the text holds
nothing of that kind; a bit that is set means nothing yet.
"""

from __future__ import annotations

import re

import numpy as np

from towpath.core.native import library, pointer
from towpath.core.texts import Texts

EMAIL, NUMBER, IPV4, IPV6, IBAN = 1, 2, 4, 8, 16
"""NUMBER: seven digits with at most four bytes between neighbours, as telephone and card numbers have."""

PATTERNS = {
    EMAIL: rb"[\x21-\xff]@[0-9A-Za-z\x80-\xff]",
    NUMBER: rb"[0-9](?:[ ().\-/\x80-\xff]{0,4}[0-9]){6}",
    IPV4: rb"[0-9]\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]",
    IPV6: rb"[0-9A-Fa-f]::|::[0-9A-Fa-f]|[0-9A-Fa-f]:[0-9A-Fa-f]{1,4}:[0-9A-Fa-f]",
    IBAN: rb"[A-Z]{2}[0-9]{2}[ \-]?[0-9A-Z]{4}",
}


def pii_gate(texts: Texts) -> np.ndarray:
    """The bits of each text: uint8, (N,)."""
    compiled = library("towpath.data.kernels", "pii_gate")
    if compiled is None:
        return reference_pii_gate(texts)
    bits = np.zeros(len(texts), np.uint8)
    compiled.pii_gate(*texts.arguments(), pointer(bits))
    return bits


def reference_pii_gate(texts: Texts) -> np.ndarray:
    """The same by regular expressions."""
    compiled = {bit: re.compile(pattern) for bit, pattern in PATTERNS.items()}
    found = [
        sum(bit for bit, pattern in compiled.items() if pattern.search(texts.bytes_of(index)))
        for index in range(len(texts))
    ]
    return np.array(found, np.uint8)
