"""Cutting: stretches of text that stand in an earlier document too, found over all kept documents.

Comes in: which records are still kept. Goes out: the stretches to cut from each, which ``sorting`` does.
The texts of a block lie in a file that is mapped, so memory is that of the search, 0.35 to 0.65 bytes
for each byte of a block. Blocks are not compared with each other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from towpath.core.artifacts import Artifact
from towpath.core.texts import Texts
from towpath.data.config import SubstringsConfig
from towpath.data.dedup.decontamination import merged
from towpath.data.dedup.substring import repeated_stretches, without_stretches
from towpath.data.parts import read_table
from towpath.data.reading import parts_of

if TYPE_CHECKING:
    import pyarrow as pa

Spans = list[tuple[int, int]]
"""Starts and stops of stretches of one text, in bytes of UTF-8, first to last."""


@dataclass(frozen=True)
class Cut:
    """What is cut from one record."""

    row: int
    spans: Spans
    n_chars: int
    """Characters in the spans."""


@dataclass
class _Block:
    path: Path
    rows: list[np.ndarray] = field(default_factory=list)
    sizes: list[np.ndarray] = field(default_factory=list)
    size_bytes: int = 0


def find_cuts(
    alive: np.ndarray,
    records: Sequence[Artifact],
    config: SubstringsConfig,
    work: Path,
    before: Mapping[int, Cut],
) -> Iterator[Cut]:
    """The cuts of every record that is ``alive``, bool, (N,), and of ``config.domains``.

    Where there is something new to cut, what is cut from the row ``before`` is part of it.
    """
    block, start = _Block(work / "texts"), 0
    for artifact in records:
        for part in parts_of(artifact):
            table = read_table(artifact.path / part.name, ["text", "domain"])
            chosen = np.isin(table["domain"].to_numpy(), config.domains) & alive[start : start + part.rows]
            if block.size_bytes and block.size_bytes + part.size_bytes > config.block_bytes:
                yield from _search(block, config, before)
                block = _Block(block.path)
            _add(block, table["text"], chosen, start)
            start += part.rows
    yield from _search(block, config, before)
    block.path.unlink(missing_ok=True)


def _add(block: _Block, texts: pa.ChunkedArray, chosen: np.ndarray, start: int) -> None:
    import pyarrow as pa

    column = Texts.of(texts.filter(pa.array(chosen)))
    content = column.data[column.offsets[0] : column.offsets[-1]]
    with block.path.open("ab" if block.size_bytes else "wb") as file:
        file.write(content.tobytes())
    block.rows.append(np.flatnonzero(chosen) + start)
    block.sizes.append(np.diff(column.offsets))
    block.size_bytes += len(content)


def _search(block: _Block, config: SubstringsConfig, before: Mapping[int, Cut]) -> Iterator[Cut]:
    import pyarrow as pa

    if not block.size_bytes:
        return
    rows, offsets = np.concatenate(block.rows), np.concatenate([[0], *block.sizes]).cumsum().astype(np.int64)
    data = np.memmap(block.path, np.uint8, "r")
    texts = pa.LargeStringArray.from_buffers(len(rows), pa.py_buffer(offsets), pa.py_buffer(data))
    for place, spans in enumerate(repeated_stretches(texts, config.min_bytes, config.cut)):
        if spans:
            row = int(rows[place])
            if row in before:
                spans = merged(np.array([*spans, *before[row].spans]))
            pieces = [data[offsets[place] + low : offsets[place] + high].tobytes() for low, high in spans]
            yield Cut(row, spans, sum(len(piece.decode()) for piece in pieces))


def cut(texts: pa.ChunkedArray, cuts: pa.ChunkedArray) -> pa.Array:
    """``texts`` without what ``cuts`` says: starts and stops in turn, null for texts that stay whole."""
    import pyarrow.compute as pc

    chosen = cuts.is_valid().combine_chunks()
    spans = [list(zip(row[::2], row[1::2], strict=True)) for row in cuts.filter(chosen).to_pylist()]
    shorter = without_stretches(texts.filter(chosen).combine_chunks(), spans)
    return pc.call_function("replace_with_mask", [texts.combine_chunks(), chosen, shorter])
