"""The order of samples: a pure function of a seed and an index, with nothing to store or replay.

Comes in: how many windows each source has, and weights. Goes out: for any sample index, in
constant time and memory, which window of which source it is. So a run resumes at any index at
once, and the order does not depend on ranks or workers.

``KeyedPermutation`` is a Feistel network over the smallest power of two that holds n, walked until
the result is below n (Black and Rogaway 2002, "Ciphers with arbitrary finite domains", section 4).
Its halves may differ by one bit, so that at most every second step is a walk. The round function
is the finalizer of MurmurHash3 (Appleby 2011): good mixing, no secrecy.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from towpath.core.errors import ConfigError
from towpath.core.files import canonical_json

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

BLOCK_SLOTS = 4096
"""A mixture's shares are multiples of 1/4096, exact in every block of so many samples."""

_ROUNDS = 8
_WORD = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15

_Number = Any
"""An int below 2**64, or an array of uint64, whose products wrap; the arithmetic below suits both."""


def key_of(*parts: Any) -> int:
    """A 64-bit key from JSON values, such as a seed and a name."""
    return int.from_bytes(hashlib.blake2b(canonical_json(parts), digest_size=8).digest(), "little")


class KeyedPermutation:
    """A permutation of range(n) chosen by ``key``: ``permutation[i]``, or ``many`` for an array."""

    def __init__(self, n: int, key: int) -> None:
        if not 0 < n <= 1 << 62:
            raise ConfigError(f"A permutation of {n} items was asked for; 1 to 2**62 can be permuted.")
        self.n = n
        self.key = key

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, index: int) -> int:
        if not 0 <= index < self.n:
            raise IndexError(f"index {index} is not in range({self.n})")
        return _permuted(index, self.n, self.key)

    def many(self, indices: ArrayLike) -> NDArray[np.int64]:
        """The places of ``indices``, each in range(n)."""
        indices = np.asarray(indices, dtype=np.uint64)
        return _all_permuted(indices, self.n, np.full(indices.shape, self.key, np.uint64)).astype(np.int64)


class Draw(NamedTuple):
    """One sample: a window of a source, in the ``epoch``-th pass over that source."""

    source: str
    epoch: int
    window: int


class Mixture:
    """Samples drawn from several sources by weight: ``mixture[i]`` for any i from 0 up.

    Every block of ``BLOCK_SLOTS`` samples holds a fixed number from each source, in an order of its
    own. The samples of one source, in the order of their indices, run through its windows epoch after
    epoch, each a new permutation: every window is seen once before any is seen again.

    ``sizes``: windows in each source. ``weights``: relative shares; a source may have weight 0.
    """

    def __init__(self, sizes: Mapping[str, int], weights: Mapping[str, float], seed: int) -> None:
        self.sizes = dict(sizes)
        self.slots = _slots(self.sizes, weights)
        """How many of each block's samples come from each source."""
        self._names = [name for name, count in self.slots.items() if count]
        self._counts = [self.slots[name] for name in self._names]
        self._block_key = key_of(seed, "blocks")
        self._source_keys = [key_of(seed, "source", name) for name in self._names]
        self._last_block = self._laid_out(0)

    def __getitem__(self, index: int) -> Draw:
        if index < 0:
            raise IndexError(f"index {index} is negative")
        return self.drawn(*self.turn(index))

    def turn(self, index: int) -> tuple[str, int]:
        """The source of sample ``index``, and how many samples before it have that source."""
        block, slot = divmod(index, BLOCK_SLOTS)
        which, turns = self._block(block)
        number = int(which[slot])
        return self._names[number], block * self._counts[number] + int(turns[slot])

    def drawn(self, name: str, turn: int) -> Draw:
        """The sample of source ``name`` that ``turn`` others of it come before."""
        epoch, place = divmod(turn, self.sizes[name])
        key = self._source_keys[self._names.index(name)]
        return Draw(name, epoch, _permuted(place, self.sizes[name], _key_in(key, epoch)))

    def count(self, name: str, samples: int) -> int:
        """How many of the first ``samples`` are of source ``name``."""
        if name not in self._names:
            return 0
        number = self._names.index(name)
        blocks, rest = divmod(samples, BLOCK_SLOTS)
        which, _ = self._block(blocks)
        return blocks * self._counts[number] + int((which[:rest] == number).sum())

    def _block(self, block: int) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
        if self._last_block[0] != block:
            self._last_block = self._laid_out(block)
        return self._last_block[1:]

    def _laid_out(self, block: int) -> tuple[int, NDArray[np.int64], NDArray[np.uint64]]:
        """``block``; for each of its slots, its source, and how many slots before it have that source.

        Takes 1 ms; a run goes through a block of samples before it needs the next.
        """
        slots = np.arange(BLOCK_SLOTS, dtype=np.uint64)
        places = _all_permuted(
            slots, BLOCK_SLOTS, np.full(BLOCK_SLOTS, _key_in(self._block_key, block), np.uint64)
        )
        which = np.searchsorted(np.cumsum(self._counts), places, side="right")
        turns = np.empty(BLOCK_SLOTS, np.uint64)
        for number, count in enumerate(self._counts):
            turns[which == number] = np.arange(count, dtype=np.uint64)
        return block, which, turns


def _slots(sizes: Mapping[str, int], weights: Mapping[str, float]) -> dict[str, int]:
    """Shares of a block by largest remainder; a source with any weight gets at least one slot."""
    if set(sizes) != set(weights):
        raise ConfigError(f"Weights are given for {sorted(weights)}; the sources are {sorted(sizes)}.")
    wrong = {name: weight for name, weight in weights.items() if not 0 <= weight < math.inf}
    total = math.fsum(weights.values())
    if wrong or total <= 0:
        raise ConfigError(
            f"Weights of sources must be 0 or more, and one above 0; they are {wrong or dict(weights)}."
        )
    empty = [name for name, size in sizes.items() if weights[name] > 0 and size < 1]
    if empty:
        raise ConfigError(
            f"The source {empty[0]!r} has weight {weights[empty[0]]} and not one whole window of tokens. "
            "Give it more text, or weight 0, or train with a shorter context."
        )
    exact = {name: weights[name] / total * BLOCK_SLOTS for name in sizes}
    slots = {name: max(math.floor(share), int(share > 0)) for name, share in exact.items()}
    by_need = sorted(sizes, key=lambda name: slots[name] - exact[name])  # stable: ties keep their order
    while (short := BLOCK_SLOTS - sum(slots.values())) > 0:
        for name in by_need[:short]:
            slots[name] += 1
    while sum(slots.values()) > BLOCK_SLOTS:  # slots given to the smallest are taken from the largest
        slots[max(sizes, key=lambda name: slots[name])] -= 1
    return slots


def _key_in(key: int, number: _Number) -> _Number:
    """The key of block or epoch ``number`` under ``key``."""
    return _mixed(number * _GOLDEN + key & _WORD)


def _mixed(value: _Number) -> _Number:
    """MurmurHash3's 64-bit finalizer, for a Python int or an array of uint64 alike."""
    value = (value ^ value >> 33) * 0xFF51AFD7ED558CCD & _WORD
    value = (value ^ value >> 33) * 0xC4CEB9FE1A85EC53 & _WORD
    return value ^ value >> 33


def _scrambled(value: _Number, bits: int, key: _Number) -> _Number:
    """A permutation of range(2**bits) chosen by ``key``."""
    low_bits = bits // 2
    high, low = value >> low_bits, value & (1 << low_bits) - 1
    for step in range(_ROUNDS):
        round_key = _mixed(key + ((step + 1) * _GOLDEN & _WORD) & _WORD)
        if step % 2:
            low = low ^ _mixed(high ^ round_key) & (1 << low_bits) - 1
        else:
            high = high ^ _mixed(low ^ round_key) & (1 << bits - low_bits) - 1
    return high << low_bits | low


def _bits_for(n: int) -> int:
    return max((n - 1).bit_length(), 2)


def _permuted(index: int, n: int, key: int) -> int:
    value = _scrambled(index, _bits_for(n), key)
    while value >= n:
        value = _scrambled(value, _bits_for(n), key)
    return value


def _all_permuted(indices: NDArray[np.uint64], n: int, keys: NDArray[np.uint64]) -> NDArray[np.uint64]:
    values = _scrambled(indices, _bits_for(n), keys)
    while (outside := values >= n).any():
        values[outside] = _scrambled(values[outside], _bits_for(n), keys[outside])
    return values
