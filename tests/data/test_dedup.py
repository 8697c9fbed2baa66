from __future__ import annotations

import hashlib

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from towpath.core.texts import Texts
from towpath.data.dedup.exact import exact_duplicates
from towpath.data.dedup.near import (
    Groups,
    band_keys,
    join_alike,
    least_equal,
    near_duplicates,
    reference_near_duplicates,
)
from towpath.data.hashing import content_hash, content_hashes, signatures
from towpath.data.kernels.minhash import shingles
from towpath.data.kernels.single_spaces import reference_single_spaces, single_spaces

from .conftest import prose

BANDS, PER_BAND = 14, 8


def signatures_of(texts: list[str]) -> np.ndarray:
    found = signatures(pa.array(texts, pa.large_string()), BANDS * PER_BAND, 5)
    return np.frombuffer(b"".join(found.to_pylist()), np.uint32).reshape(len(texts), -1)


def jaccard(left: str, right: str) -> float:
    one, two = shingles(left, 5), shingles(right, 5)
    return len(one & two) / len(one | two)


def test_equal_texts_are_found_across_case_and_white_space() -> None:
    assert content_hash("A  boat\non the River") == content_hash("a boat on the river ")
    assert content_hash("a boat") != content_hash("a boat.")
    hashes = pa.array([content_hash(text) for text in ("a", "b", "A ", "b", "c", " a")], pa.binary())
    assert exact_duplicates(hashes).tolist() == [0, 1, 0, 1, 4, 0]
    assert exact_duplicates(pa.array([], pa.binary())).tolist() == []


@settings(deadline=None)
@given(
    st.text(
        st.sampled_from("aB \t\n\x1c\x85\xa0\u1680\u2009\u2028\u200b\u3000ÄİΣßﬀ")
        | st.characters(codec="utf-8")
    )
)
def test_the_hash_is_of_lower_case_words_with_a_space_between_them(text: str) -> None:
    normalised = " ".join(text.lower().split())
    expected = hashlib.blake2b(normalised.encode(), digest_size=16).digest()
    several = content_hashes(pa.array(["", text, "a\n b "], pa.large_string())).to_pylist()
    assert several == [content_hash(""), expected, content_hash("a b")]
    assert content_hash(text) == expected


def test_the_kernel_parts_at_the_white_space_of_python_and_nothing_else() -> None:
    characters = [chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000]
    texts = Texts.of_bytes(
        f"a{start}".join(characters[start : start + 500]).encode() for start in range(0, len(characters), 500)
    )
    compiled, by_python = single_spaces(texts), reference_single_spaces(texts)
    assert compiled.offsets.tolist() == by_python.offsets.tolist()
    assert compiled.data[: compiled.offsets[-1]].tobytes() == by_python.data.tobytes()


def test_signatures_estimate_the_share_of_common_shingles() -> None:
    base = prose(1, 400).split()
    for n_changed in (2, 10, 30):
        changed = " ".join(
            base[:200] + [f"new{number}" for number in range(n_changed)] + base[200 + n_changed :]
        )
        left, right = signatures_of([" ".join(base), changed])
        assert abs((left == right).mean() - jaccard(" ".join(base), changed)) < 0.15


def test_near_duplicates_are_found_and_unlike_texts_are_not() -> None:
    texts = [prose(seed, 300) for seed in range(30)]
    changed = [text.replace(text.split()[150], "changed", 1) for text in texts]
    assert min(map(jaccard, texts, changed)) > 0.9
    first = near_duplicates(signatures_of(texts + changed), BANDS, 0.75)
    assert first.tolist() == [*range(30), *range(30)]


def test_a_candidate_pair_below_the_threshold_is_not_joined() -> None:
    generator = np.random.default_rng(0)
    signatures = generator.integers(0, 2**32, (3, BANDS * PER_BAND), np.uint32)
    signatures[1, :PER_BAND] = signatures[0, :PER_BAND]  # one band in common by chance
    signatures[2, : 11 * PER_BAND] = signatures[0, : 11 * PER_BAND]
    assert near_duplicates(signatures, BANDS, 0.75).tolist() == [0, 1, 0]
    assert near_duplicates(signatures, BANDS, 0.01).tolist() == [0, 0, 0]
    assert near_duplicates(signatures[:0], BANDS, 0.75).tolist() == []


def test_band_keys_are_equal_where_bands_are() -> None:
    signatures = np.random.default_rng(1).integers(0, 2**32, (2, BANDS * PER_BAND), np.uint32)
    signatures[1, 3 * PER_BAND : 4 * PER_BAND] = signatures[0, 3 * PER_BAND : 4 * PER_BAND]
    keys = band_keys(signatures, BANDS)
    assert (keys[0] == keys[1]).tolist() == [band == 3 for band in range(BANDS)]
    repeated = np.tile(signatures[0, :PER_BAND], (1, BANDS))
    assert len(set(band_keys(repeated, BANDS)[0].tolist())) == BANDS  # the same hashes in other bands differ


small = st.lists(st.lists(st.integers(0, 2), min_size=6, max_size=6), max_size=12)


@settings(deadline=None, max_examples=25)
@given(small)
def test_removing_near_duplicates_twice_removes_nothing_more(rows: list[list[int]]) -> None:
    signatures = np.array(rows, dtype=np.uint32).reshape(-1, 6)
    first = near_duplicates(signatures, 3, 0.6)
    kept = np.flatnonzero(first == np.arange(len(rows)))
    assert np.isin(first, kept).all()
    again = near_duplicates(signatures[kept], 3, 0.6)
    assert (again == np.arange(len(kept))).all()


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.lists(st.integers(0, 2), min_size=7, max_size=7), max_size=12),
    st.integers(1, 7),
    st.floats(0.01, 1),
)
def test_the_kernel_is_its_python(rows: list[list[int]], bands: int, min_similarity: float) -> None:
    width = 7 // bands * bands
    signatures = np.array(rows, dtype=np.uint32).reshape(-1, 7)[:, :width].copy()
    by_python = reference_near_duplicates(signatures, bands, min_similarity)
    assert near_duplicates(signatures, bands, min_similarity).tolist() == by_python.tolist()


def test_the_kernel_is_its_python_on_many_rows_and_a_template() -> None:
    generator = np.random.default_rng(4)
    signatures = generator.integers(0, 2**32, (20_000, BANDS * PER_BAND), np.uint32)
    for copy, original in generator.integers(0, len(signatures), (2_000, 2)):
        other = generator.random(BANDS * PER_BAND) < generator.random() * 0.5
        signatures[copy] = np.where(other, signatures[copy], signatures[original])
    signatures[::7, 8:16] = 5  # more unlike rows than are followed
    first = near_duplicates(signatures, BANDS, 0.75)
    assert (first == reference_near_duplicates(signatures, BANDS, 0.75)).all()
    assert 500 < (first != np.arange(len(first))).sum() < 2_000


@pytest.mark.parametrize("n_hashes", [1, 7, 112])
def test_so_many_equal_hashes_are_the_share_that_is_asked_for(n_hashes: int) -> None:
    equal = np.tri(n_hashes + 1, n_hashes, -1, dtype=bool)  # row i has i equal places
    for min_similarity in (0.01, 0.1, 0.3, 0.7, 0.75, 6 / 7, 1.0, 1.5):
        enough = np.flatnonzero(equal.mean(axis=1) >= min_similarity)
        assert least_equal(n_hashes, min_similarity) == (enough[0] if len(enough) else n_hashes + 1)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9))))
def test_groups_are_the_connected_components_named_by_their_first_row(pairs: list[tuple[int, int]]) -> None:
    groups = Groups(10)
    expected = list(range(10))
    for left, right in pairs:
        groups.join(left, right)
        low, high = sorted((expected[left], expected[right]))
        expected = [low if name == high else name for name in expected]
    assert groups.first().tolist() == expected


def test_members_unlike_the_first_are_compared_with_each_other() -> None:
    signatures = np.array([[1, 1, 1, 1], [2, 2, 2, 2], [2, 2, 2, 3], [1, 1, 1, 4]], np.uint32)
    groups = Groups(4)
    join_alike(np.arange(4), signatures, 0.7, groups)
    assert groups.first().tolist() == [0, 1, 1, 0]
