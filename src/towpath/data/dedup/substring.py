"""Exact substrings: a column of texts in, the stretches that each repeats out, or the texts without them.

Stretches come from ``kernels.winnow``. They are cut inwards, to whole characters, sentences or lines, so
that what stays reads as text. Of a stretch that stands in several texts the first in ``order`` keeps it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from towpath.core.texts import Texts
from towpath.data.kernels.winnow import repeated_spans

if TYPE_CHECKING:
    import pyarrow as pa

Cut = Literal["character", "sentence", "line"]
_ENDS: dict[Cut, tuple[bytes, ...]] = {
    "sentence": (b"\n", b". ", b"! ", b"? ", b'." ', b'!" ', b'?" ', "。".encode()),
    "line": (b"\n",),
}


def repeated_stretches(
    texts: pa.Array, min_bytes: int = 200, cut: Cut = "sentence", order: np.ndarray | None = None
) -> list[list[tuple[int, int]]]:
    """For each text the spans of its UTF-8 bytes that stand earlier too, first to last.

    Args:
        texts: large strings, (N,).
        min_bytes: the shortest repeat that counts, before it is cut.
        cut: what a span is made of, whole characters, sentences or lines.
        order: int64, (N,), rows from the most to the least preferred; as they stand if None.
    """
    column = Texts.of(texts)
    return whole_stretches(column, repeated_spans(column, min_bytes, order), cut)


def whole_stretches(column: Texts, spans: np.ndarray, cut: Cut) -> list[list[tuple[int, int]]]:
    """For each text the whole units in ``spans``, (S, 2), which are sorted bytes of ``column.data``."""
    found: list[list[tuple[int, int]]] = [[] for _ in range(len(column))]
    rows = np.searchsorted(column.offsets, spans[:, 0], "right") - 1
    for row, (start, stop) in zip(rows.tolist(), spans.tolist(), strict=True):
        offset = int(column.offsets[row])
        whole = _cut_inwards(column.bytes_of(row), start - offset, stop - offset, cut)
        if whole is not None:
            found[row].append(whole)
    return found


def without_stretches(texts: pa.Array, stretches: list[list[tuple[int, int]]]) -> pa.Array:
    """``texts`` without the bytes of ``stretches``, large strings, (N,)."""
    import pyarrow as pa

    column, edited = Texts.of(texts), []
    for row, spans in enumerate(stretches):
        text, parts, place = column.bytes_of(row), [], 0
        for start, stop in spans:
            parts.append(text[place:start])
            place = stop
        edited.append(b"".join([*parts, text[place:]]).decode())
    return pa.array(edited, pa.large_string())


def _cut_inwards(text: bytes, start: int, stop: int, cut: Cut) -> tuple[int, int] | None:
    """The largest part of a span that consists of whole units; None if there is none."""
    while start < stop and text[start] & 0xC0 == 0x80:
        start += 1
    while stop < len(text) and stop > start and text[stop] & 0xC0 == 0x80:
        stop -= 1
    ends = _ENDS.get(cut)
    if ends:
        if start > 0 and not text[:start].endswith(ends):
            starts = [place + len(end) for end in ends if (place := text.find(end, start, stop)) >= 0]
            start = min(starts, default=stop)
        if stop < len(text) and not text[:stop].endswith(ends):
            stop = max(
                place + len(end) if place >= 0 else -1
                for end in ends
                for place in [text.rfind(end, start, stop)]
            )
    return (start, stop) if start < stop else None
