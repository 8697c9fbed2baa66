"""Peak memory of a process that trains: what the trace takes, and what the allocator adds to it.

Comes in: the events of a ``Trace``. Goes out: bytes. glibc serves a large block from the system and
all others from one heap, where a hole is used again by what fits it. torch asks for addresses that
are multiples of 64 (``posix_memalign``), for which glibc up to 2.37 takes 96 bytes more than the
block and gives the ends back; where a small object takes such an end, the next block of the same size
no longer fits its predecessor's hole. How often that happens is the one number here that is
measured (``machine``): with 0 the heap holds little more than what is live, on the machine where
this was written it held up to 1.6 times as much.
"""

from __future__ import annotations

import random
from bisect import bisect_left, insort
from collections.abc import Sequence

_ALIGNMENT = 64
_EXTRA = _ALIGNMENT + 32
_HEADER = 16
_PAGE = 4096
_TOP_PAD = 128 << 10
LARGE_BLOCK_BYTES = 32 << 20
"""The most that glibc keeps in its heap: DEFAULT_MMAP_THRESHOLD_MAX of a 64-bit system."""
_FIRST_LARGE_BYTES = 2 << 20
"""What glibc takes for large once Python and torch are loaded: their own files raised it."""


def resident_peak(events: Sequence[tuple[int, int]], pinned_share: float) -> int:
    """Most bytes resident while ``events`` happen, by blocks of 4096 bytes and more.

    ``pinned_share``: how many of the heap's blocks have a small object at an end.
    """
    heap = _Heap(pinned_share)
    for block, size in events:
        if block > 0:
            heap.take(block, size)
        else:
            heap.give_back(-block)
    return heap.peak


class _Heap:
    """Best fit with coalescing, a growing threshold of large blocks, trimming at the top."""

    def __init__(self, pinned_share: float) -> None:
        self.pinned_share = pinned_share
        self.chance = random.Random(0)
        self.large, self.trim = _FIRST_LARGE_BYTES, 2 * _FIRST_LARGE_BYTES
        self.top = self.end = self.touched = 0
        self.holes: list[tuple[int, int]] = []  # (bytes, start), sorted
        self.by_start: dict[int, int] = {}  # start -> bytes
        self.by_end: dict[int, int] = {}  # end -> start
        self.places: dict[int, tuple[int | None, int]] = {}  # block -> start (None: of its own), bytes
        self.mapped = self.peak = 0

    def take(self, block: int, size: int) -> None:
        """Find room for ``block``."""
        needed = -(-(size + 8) // 16) * 16
        start, found = self._find(needed + _EXTRA)
        if start is not None:
            if size >= _PAGE and self.chance.random() < self.pinned_share:
                start, found = start + _ALIGNMENT, found - _ALIGNMENT  # what is before it stays taken
            if found - needed >= 2 * _HEADER:
                self._release(start + needed, found - needed)
                found = needed
        self.places[block] = start, found
        self.touched = max(self.touched, self.top)
        self.peak = max(self.peak, self.mapped + self.touched)

    def give_back(self, block: int) -> None:
        """``block`` is free."""
        start, size = self.places.pop(block)
        if start is not None:
            self._release(start, size)
            return
        self.mapped -= size
        if self.large < size <= LARGE_BLOCK_BYTES:
            self.large, self.trim = size, 2 * size

    def _find(self, size: int) -> tuple[int | None, int]:
        """The smallest hole of ``size``, else the top of the heap, else pages of its own."""
        place = bisect_left(self.holes, (size, -1))
        if place < len(self.holes):
            found, start = self.holes[place]
            self._remove(start)
            if found - size >= 2 * _HEADER:
                self._add(start + size, found - size)
                found = size
            return start, found
        if self.end - self.top < size + 2 * _HEADER:
            if size >= self.large:
                pages = -(-(size + _HEADER) // _PAGE) * _PAGE
                self.mapped += pages
                return None, pages
            self.end += -(-(size + _TOP_PAD - (self.end - self.top)) // _PAGE) * _PAGE
        self.top += size
        return self.top - size, size

    def _release(self, start: int, size: int) -> None:
        if start in self.by_end:
            start = self.by_end[start]
            size += self._remove(start)
        if start + size in self.by_start:
            size += self._remove(start + size)
        if start + size == self.top:
            self.top = start
        else:
            self._add(start, size)
        if self.end - self.top > self.trim:
            self.end = -(-(self.top + _TOP_PAD) // _PAGE) * _PAGE
            self.touched = min(self.touched, self.end)

    def _add(self, start: int, size: int) -> None:
        self.by_start[start] = size
        self.by_end[start + size] = start
        insort(self.holes, (size, start))

    def _remove(self, start: int) -> int:
        size = self.by_start.pop(start)
        del self.by_end[start + size]
        self.holes.pop(bisect_left(self.holes, (size, start)))
        return size
