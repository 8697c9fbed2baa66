"""Hashes that tell duplicates: of a whole normalised text, and signatures of its shingles."""

from __future__ import annotations

import hashlib
from itertools import pairwise
from typing import TYPE_CHECKING

from towpath.core.texts import Texts
from towpath.data.kernels import minhash
from towpath.data.kernels.single_spaces import single_spaces

if TYPE_CHECKING:
    import pyarrow as pa

HASH_BYTES = 16


def content_hash(text: str) -> bytes:
    """128 bits of BLAKE2b of ``text`` in lower case with single spaces: equal for exact duplicates."""
    return _digest(" ".join(text.lower().split()).encode())


def content_hashes(texts: pa.Array) -> pa.Array:
    """The ``content_hash`` of each text, fixed_size_binary(16)."""
    import pyarrow as pa

    lower = Texts.of_bytes(text.lower().encode() for text in texts.to_pylist())
    normalised = single_spaces(lower)
    content, stops = normalised.data.data, normalised.offsets.tolist()
    digests = [_digest(content[start:stop]) for start, stop in pairwise(stops)]
    return pa.array(digests, pa.binary(HASH_BYTES))


def _digest(normalised: bytes | memoryview) -> bytes:
    return hashlib.blake2b(normalised, digest_size=HASH_BYTES).digest()


def signatures(texts: pa.Array, n_hashes: int, shingle_words: int) -> pa.Array:
    """The signature of each text, as the bytes of ``n_hashes`` uint32; null for one without words."""
    import pyarrow as pa

    rows, known = minhash.signatures(Texts.of(texts), shingle_words, n_hashes)
    size = pa.binary(n_hashes * rows.itemsize)
    return pa.FixedSizeBinaryArray.from_buffers(
        size, len(rows), [pa.array(known).buffers()[1], pa.py_buffer(rows)]
    )
