"""Random streams of objectives: one a sample, from the run's seed and the sample's index alone."""

from __future__ import annotations

import zlib

import numpy as np

IGNORED = -100
"""Label of a token from which nothing is learned (the convention of transformers)."""


def generator(seed: int, purpose: str, index: int) -> np.random.Generator:
    """The stream of sample ``index``, independent of all other samples, purposes and seeds."""
    return np.random.default_rng((seed, zlib.crc32(purpose.encode()), index))
