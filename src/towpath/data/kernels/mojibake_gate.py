"""How many places of a text look wrongly decoded, so that ftfy (slow) reads few texts.

Suspicious are: UTF-8 that was read as Latin-1 or Windows-1252 (a lead byte's character and as many
continuation characters as it announces, or Â and a space), the replacement character, the byte order
mark, C1 and C0 control characters (tab and line ends aside) and HTML entities. Other confusions that
ftfy knows (MacRoman, code page 437) are not looked for: they are rarer, and their first characters are
common in clean text.
"""

from __future__ import annotations

import re

import numpy as np

from towpath.core.native import library, pointer
from towpath.core.texts import Texts

_CONTINUATION = (
    rb"(?:\xc2[\x80-\xbf]|\xc5[\x92\x93\xa0\xa1\xb8\xbd\xbe]|\xc6\x92|\xcb[\x86\x9c]"
    rb"|\xe2\x80[\x93\x94\x98-\x9a\x9c-\x9e\xa0-\xa2\xa6\xb0\xb9\xba]|\xe2\x82\xac|\xe2\x84\xa2)"
)
SUSPICIOUS = (
    rb"\xc2(?=[\x80-\x9f])|\xef(?=\xbf\xbd|\xbb\xbf)|&(?=#?[0-9A-Za-z]{2,10};)|[\x00-\x08\x0e-\x1f\x7f]"
    rb"|\xc3(?=\x82\x20|[\x82-\x9f]" + _CONTINUATION + rb"|[\xa0-\xaf]" + _CONTINUATION + rb"{2}"
    rb"|[\xb0-\xb4]" + _CONTINUATION + rb"{3})"
)


def mojibake_gate(texts: Texts) -> np.ndarray:
    """Suspicious places of each text: int32, (N,)."""
    compiled = library("towpath.data.kernels", "mojibake_gate")
    if compiled is None:
        return reference_mojibake_gate(texts)
    counts = np.zeros(len(texts), np.int32)
    compiled.mojibake_gate(*texts.arguments(), pointer(counts))
    return counts


def reference_mojibake_gate(texts: Texts) -> np.ndarray:
    """The same by a regular expression."""
    pattern = re.compile(SUSPICIOUS)
    counts = [sum(1 for _ in pattern.finditer(texts.bytes_of(index))) for index in range(len(texts))]
    return np.array(counts, np.int32)
