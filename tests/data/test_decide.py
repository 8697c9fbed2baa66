from __future__ import annotations

import hashlib

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from towpath.data.decide import held_out

hashes = st.sets(st.integers(0, 2**64 - 1), max_size=40).map(lambda found: np.array(sorted(found), np.uint64))


@given(hashes, st.floats(0, 0.99))
def test_of_two_documents_one_is_held_out_and_one_is_not(numbers: np.ndarray, share: float) -> None:
    chosen = held_out(numbers, share)
    if share == 0 or len(numbers) < 2:
        assert not chosen.any()
    else:
        assert chosen.any()
        assert not chosen.all()


@given(hashes, hashes)
def test_adding_documents_moves_only_those_at_the_ends(one: np.ndarray, two: np.ndarray) -> None:
    both = np.union1d(one, two)
    before = dict(zip(one.tolist(), held_out(one, 0.3).tolist(), strict=True))
    after = dict(zip(both.tolist(), held_out(both, 0.3).tolist(), strict=True))
    moved = {number for number in before if before[number] != after[number]}
    assert moved <= {end for numbers in (one, both) if len(numbers) for end in (numbers.min(), numbers.max())}


def test_about_the_share_is_held_out() -> None:
    digests = b"".join(
        hashlib.blake2b(str(number).encode(), digest_size=8).digest() for number in range(20_000)
    )
    assert 0.045 < held_out(np.frombuffer(digests, ">u8"), 0.05).mean() < 0.055
