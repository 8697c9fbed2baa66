"""Fingerprints of texts: kernel and NumPy agree, and what two texts share is found by them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from towpath.core.texts import Texts
from towpath.data.dedup.known import Known, in_both, known_spans
from towpath.data.kernels.fingerprints import Winnowing, fingerprints, reference_fingerprints

pieces = st.sampled_from(
    [
        b"a" * 30,
        b"ab" * 20,
        b"the quick brown fox jumps over ",
        "é".encode() * 9,
        b"x",
        b"1234567 ",
        b"\0" * 70,
    ]
) | st.binary(max_size=60)
documents = st.lists(st.lists(pieces, max_size=8).map(b"".join), max_size=5)
lengths = st.sampled_from([16, 17, 24, 33, 150])


@settings(deadline=None, max_examples=50)
@given(documents, lengths)
def test_the_kernel_gives_exactly_the_fingerprints_of_its_python(parts: list[bytes], min_bytes: int) -> None:
    texts, winnowing = Texts.of_bytes(parts), Winnowing.for_stretches(min_bytes)
    compiled, by_python = fingerprints(texts, winnowing), reference_fingerprints(texts, winnowing)
    for name in ("values", "firsts", "lasts"):
        assert getattr(compiled, name).tolist() == getattr(by_python, name).tolist()


@pytest.mark.parametrize("min_bytes", [16, 199, 200, 4_000])
def test_kernel_and_python_agree_on_texts_longer_than_a_block(min_bytes: int) -> None:
    content = np.random.default_rng(min_bytes).integers(0, 256, 50_000, np.uint8).tobytes()
    texts, winnowing = Texts.of_bytes([content, b"", content[7:]]), Winnowing.for_stretches(min_bytes)
    compiled, by_python = fingerprints(texts, winnowing), reference_fingerprints(texts, winnowing)
    assert compiled.values.tolist() == by_python.values.tolist()
    assert compiled.lasts.tolist() == by_python.lasts.tolist()
    density = len(compiled.values) / (2 * len(content))
    assert 0.8 < density * (winnowing.window + 1) / 2 < 1.2  # as Schleimer, Wilkerson and Aiken expect


def test_fingerprints_are_what_they_always_were() -> None:
    texts = Texts.of_bytes([bytes(range(256)) * 2])
    found = fingerprints(texts, Winnowing.for_stretches(200))
    assert (len(found.values), hex(found.values[0]), int(found.firsts[0])) == (12, "0x875807273ac9f95b", 0)


@settings(deadline=None, max_examples=50)
@given(documents, documents, st.sampled_from([16, 24, 33]))
def test_what_two_texts_share_is_found_and_nothing_else(
    earlier: list[bytes], new: list[bytes], min_bytes: int
) -> None:
    winnowing, texts = Winnowing.for_stretches(min_bytes), Texts.of_bytes(new)
    known = np.unique(fingerprints(Texts.of_bytes(earlier), winnowing).values)
    spans = known_spans(fingerprints(texts, winnowing), Known(known), texts, min_bytes)
    marked = np.zeros(len(texts.data), bool)
    for start, stop in spans:
        marked[start:stop] = True
    grams, stretches = windows(earlier, winnowing.gram_bytes), windows(earlier, min_bytes)
    for row, text in enumerate(new):
        own = marked[texts.offsets[row] : texts.offsets[row + 1]]
        for start in range(len(text) - min_bytes + 1):
            if text[start : start + min_bytes] in stretches:  # its ends, less than a window each, may stay
                margin = winnowing.window - 1
                assert own[start + margin : start + min_bytes - margin].all()
        assert not own[~covered(text, grams, winnowing.gram_bytes)].any()
    assert all(stop - start >= min_bytes // 2 for start, stop in spans)


def windows(texts: list[bytes], size: int) -> set[bytes]:
    return {text[start : start + size] for text in texts for start in range(len(text) - size + 1)}


def covered(text: bytes, grams: set[bytes], size: int) -> np.ndarray:
    """Which bytes of ``text`` stand in a gram that is one of ``grams``."""
    found = np.zeros(len(text), bool)
    for start in range(len(text) - size + 1):
        if text[start : start + size] in grams:
            found[start : start + size] = True
    return found


def test_one_fingerprint_alone_is_not_enough() -> None:
    content = np.random.default_rng(1).integers(97, 123, 1_000, np.uint8).tobytes()
    texts, winnowing = Texts.of_bytes([content]), Winnowing.for_stretches(200)
    found = fingerprints(texts, winnowing)
    assert known_spans(found, Known(found.values[5:6]), texts, 200).tolist() == []
    both = known_spans(found, Known(np.unique(found.values[5:7])), texts, 200).tolist()
    expected = [[int(found.firsts[5]), int(found.lasts[6]) + 100]]
    assert both == (expected if expected[0][1] - expected[0][0] >= 102 else [])


def test_a_line_of_one_sign_is_one_entry_and_found() -> None:
    winnowing = Winnowing.for_stretches(200)
    texts = Texts.of_bytes([b"-" * 5_000, b"one" + b"-" * 300 + b"two"])
    found = fingerprints(texts, winnowing)
    assert len(found.values) < 10
    known = np.unique(fingerprints(Texts.of_bytes([b"-" * 200]), winnowing).values)
    assert len(known) == 1
    assert known_spans(found, Known(known), texts, 200).tolist()[0] == [49, 5_000]


@settings(deadline=None, max_examples=25)
@given(st.sets(st.integers(0, 2**64 - 1)), st.lists(st.sets(st.integers(0, 2**64 - 1)), max_size=3))
def test_what_is_in_both_is_what_sets_have_in_common(ours: set[int], theirs: list[set[int]]) -> None:
    arrays = [np.array(sorted(found), np.uint64) for found in (ours, *theirs, {min(ours, default=0)})]
    found = in_both(arrays[0], iter(arrays[1:]))
    common = ours & set().union(*theirs, arrays[-1].tolist())
    assert arrays[0][found].tolist() == sorted(common)
    assert Known(arrays[0]).has(arrays[1]).tolist() == [value in ours for value in arrays[1].tolist()]
