"""Groups: neighbouring parts of a source that one task works on, so that many small ones are few tasks.

Comes in: sources as records and features. Goes out: their parts in order, each group with the place of its
rows among those of all sources, which is how decisions are counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from towpath.data.reading import Part, grouped, parts_of
from towpath.data.verdicts import Annotated


@dataclass(frozen=True)
class Group:
    """Neighbouring parts of one source."""

    source: Annotated
    parts: tuple[Part, ...]
    start: int
    """Their first row among those of all sources."""

    @property
    def n_rows(self) -> int:
        """Records in all its parts."""
        return sum(part.rows for part in self.parts)


def groups_of(sources: Sequence[Annotated], size_bytes: int) -> Iterator[Group]:
    """The parts of ``sources``, together until they hold ``size_bytes`` of text."""
    start = 0
    for source in sources:
        for parts in grouped(parts_of(source.records), size_bytes):
            group = Group(source, parts, start)
            yield group
            start += group.n_rows
