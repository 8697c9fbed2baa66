"""Hashes that tell duplicates: of a whole normalised text, and MinHash of its shingles.

MinHash: Broder 1997; the hashes are the engine's own.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

import numpy as np

from towpath.data import engine

if TYPE_CHECKING:
    import pyarrow as pa

HASH_BYTES = 16
_WORD = re.compile(r"\w+")


def content_hash(text: str) -> bytes:
    """128 bits of BLAKE2b of ``text`` in lower case with single spaces: equal for exact duplicates."""
    normalised = " ".join(text.lower().split())
    return hashlib.blake2b(normalised.encode(), digest_size=HASH_BYTES).digest()


def content_hashes(texts: pa.Array) -> pa.Array:
    """The ``content_hash`` of each text, fixed_size_binary(16)."""
    import pyarrow as pa

    return pa.array(map(content_hash, texts.to_pylist()), pa.binary(HASH_BYTES))


def words(text: str) -> str | None:
    """The words of ``text`` without punctuation, single spaces between; None when it has none."""
    return " ".join(_WORD.findall(text.lower())) or None


def signatures(texts: pa.Array, n_hashes: int, shingle_words: int) -> pa.Array:
    """The MinHash signature of each text, as the bytes of ``n_hashes`` uint32; null for one without words."""
    import pyarrow as pa

    found = engine.minhash(
        pa.array(map(words, texts.to_pylist()), pa.large_string()), n_hashes, shingle_words
    )
    known = found.is_valid().to_numpy(zero_copy_only=False)
    rows = np.zeros((len(texts), n_hashes), np.uint32)
    rows[known] = found.flatten().to_numpy().reshape(-1, n_hashes)
    size = pa.binary(n_hashes * rows.itemsize)
    return pa.FixedSizeBinaryArray.from_buffers(
        size, len(rows), [pa.array(known).buffers()[1], pa.py_buffer(rows)]
    )
