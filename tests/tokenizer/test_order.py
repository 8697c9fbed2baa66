from __future__ import annotations

import time
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from towpath.core.errors import ConfigError
from towpath.tokenizer import KeyedPermutation, Mixture
from towpath.tokenizer.order import BLOCK_SLOTS, key_of

KEYS = st.integers(0, 2**64 - 1)


@given(n=st.integers(1, 5000), key=KEYS)
@settings(deadline=None)
def test_a_permutation_is_a_bijection(n, key):
    assert np.array_equal(np.sort(KeyedPermutation(n, key).many(np.arange(n))), np.arange(n))


@given(n=st.integers(1, 2**62), key=KEYS, data=st.data())
@settings(deadline=None)
def test_one_index_at_a_time_gives_what_many_at_once_give(n, key, data):
    indices = data.draw(st.lists(st.integers(0, n - 1), min_size=1, max_size=20))
    permutation = KeyedPermutation(n, key)
    assert permutation.many(indices).tolist() == [permutation[index] for index in indices]


def test_small_permutations_are_all_reached_about_equally():
    found = Counter(
        tuple(KeyedPermutation(4, key_of(key)).many(np.arange(4)).tolist()) for key in range(1200)
    )
    assert len(found) == 24
    assert min(found.values()) > 20  # 50 expected, standard deviation 7
    assert max(found.values()) < 85


def test_neighbours_are_scattered():
    places = KeyedPermutation(100_000, 7).many(np.arange(100_000))
    assert abs(np.corrcoef(places[:-1], places[1:])[0, 1]) < 0.02
    assert abs(np.corrcoef(places, np.arange(100_000))[0, 1]) < 0.02


@pytest.mark.parametrize("n", [0, 2**62 + 1])
def test_sizes_that_cannot_be_permuted_are_refused(n):
    with pytest.raises(ConfigError, match=f"permutation of {n} items"):
        KeyedPermutation(n, 0)


def test_an_index_outside_is_refused():
    with pytest.raises(IndexError):
        KeyedPermutation(3, 0)[3]


@st.composite
def mixtures(draw: st.DrawFn) -> Mixture:
    names = [f"source-{number}" for number in range(draw(st.integers(1, 5)))]
    sizes = {name: draw(st.integers(1, 3000)) for name in names}
    weights = {name: draw(st.floats(0.001, 100)) for name in names}
    return Mixture(sizes, weights, draw(st.integers(0, 1000)))


@given(mixture=mixtures())
@settings(max_examples=8, deadline=None)
def test_every_window_of_a_source_is_seen_once_before_any_is_seen_again(mixture):
    draws = [mixture[index] for index in range(BLOCK_SLOTS + 500)]
    for name, size in mixture.sizes.items():
        mine = [draw for draw in draws if draw.source == name]
        assert mixture.slots[name] <= len(mine) <= mixture.slots[name] + 500
        assert [draw.epoch for draw in mine] == [place // size for place in range(len(mine))]
        for first in range(0, len(mine), size):
            windows = [draw.window for draw in mine[first : first + size]]
            assert len(set(windows)) == len(windows)
            assert set(windows) <= set(range(size))


@given(mixture=mixtures(), indices=st.lists(st.integers(0, 10**12), min_size=1, max_size=10))
@settings(max_examples=25, deadline=None)
def test_a_draw_does_not_depend_on_what_was_drawn_before(mixture, indices):
    ahead = [mixture[index] for index in indices]
    back = [mixture[index] for index in reversed(indices)]
    assert ahead == back[::-1]


def test_shares_are_those_of_the_weights():
    weights = {"web": 0.6, "books": 0.15, "papers": 0.1, "code": 0.1, "chat": 0.05}
    mixture = Mixture(dict.fromkeys(weights, 1000), weights, seed=3)
    drawn = [mixture[index].source for index in range(BLOCK_SLOTS)]
    for source, weight in weights.items():
        assert drawn.count(source) / len(drawn) == pytest.approx(weight, abs=1 / BLOCK_SLOTS)
        # Inside a block it is a draw without replacement: standard deviation below 0.011 here.
        assert drawn[:1500].count(source) / 1500 == pytest.approx(weight, abs=0.05)


@given(weights=st.lists(st.floats(1e-9, 1e9), min_size=1, max_size=50))
def test_a_block_is_always_full_and_every_source_with_weight_is_in_it(weights):
    named = {str(place): weight for place, weight in enumerate(weights)}
    slots = Mixture(dict.fromkeys(named, 1), named, seed=0).slots
    assert sum(slots.values()) == BLOCK_SLOTS
    assert min(slots.values()) >= 1


def test_a_source_of_weight_zero_is_never_drawn():
    mixture = Mixture({"a": 10, "b": 0}, {"a": 1, "b": 0}, seed=0)
    assert {mixture[index].source for index in range(200)} == {"a"}


def test_the_order_depends_on_the_seed_and_on_the_epoch():
    def windows(seed: int, epoch: int) -> list[int]:
        mixture = Mixture({"a": 50}, {"a": 1}, seed)
        draws = [mixture[index] for index in range(BLOCK_SLOTS)]
        return [draw.window for draw in draws if draw.epoch == epoch]

    assert windows(1, 0) == windows(1, 0)
    assert windows(1, 0) != windows(2, 0)
    assert windows(1, 0) != windows(1, 1)


@pytest.mark.parametrize(
    ("sizes", "weights", "message"),
    [
        ({"a": 1}, {"b": 1}, "Weights are given for"),
        ({"a": 1}, {"a": 0}, "0 or more, and one above 0"),
        ({"a": 1, "b": 1}, {"a": 1, "b": -1}, r"they are \{'b': -1\}"),
        ({"a": 1}, {"a": float("nan")}, "0 or more"),
        ({"a": 0}, {"a": 2.5}, "'a' has weight 2.5 and not one whole window"),
    ],
)
def test_weights_and_sizes_that_make_no_mixture_are_refused(sizes, weights, message):
    with pytest.raises(ConfigError, match=message):
        Mixture(sizes, weights, seed=0)


def test_seeking_in_a_thousand_million_samples_takes_no_time():
    mixture = Mixture({"a": 10**9, "b": 10**8}, {"a": 3, "b": 1}, seed=0)
    started = time.process_time()
    for index in range(10**9 - 1000, 10**9):
        _ = mixture[index]
    assert time.process_time() - started < 1  # 0.04 s for all 1000 here
