from __future__ import annotations

from pathlib import Path
from random import Random

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from towpath.core.errors import DataError
from towpath.core.texts import Texts
from towpath.data.dedup.substring import Cut, repeated_stretches, without_stretches
from towpath.data.kernels.winnow import reference_repeated_spans, repeated_spans


def texts_of(parts: list[str]) -> Texts:
    return Texts.of(pa.array(parts, pa.large_string()))


pieces = st.sampled_from(
    ["a" * 30, "ab" * 20, "the quick brown fox jumps over ", "é" * 9, "x", "1234567 ", ""]
)
documents = st.lists(st.lists(pieces, max_size=8).map("".join), max_size=6)


@settings(deadline=None, max_examples=50)
@given(documents, st.sampled_from([16, 24, 33]), st.randoms(use_true_random=False))
def test_the_kernel_finds_exactly_the_repeats_that_the_reference_does(
    parts: list[str], min_bytes: int, shuffler: Random
) -> None:
    texts, order = texts_of(parts), list(range(len(parts)))
    shuffler.shuffle(order)
    places = np.array(order, np.int64)
    expected = reference_repeated_spans(texts, min_bytes, places)
    assert repeated_spans(texts, min_bytes, places).tolist() == expected.tolist()


def test_the_first_in_order_keeps_its_text() -> None:
    common = np.random.default_rng(0).integers(97, 123, 300, np.uint8).tobytes().decode()
    texts = texts_of(["one " + common, "two " + common + " end"])
    assert repeated_spans(texts, 200).tolist() == [[307, 608]]  # with the space before it
    assert repeated_spans(texts, 200, np.array([1, 0])).tolist() == [[3, 304]]


def test_lengths_out_of_range_are_refused() -> None:
    with pytest.raises(DataError, match="min_bytes is 5"):
        repeated_spans(texts_of(["a"]), 5)


def test_every_repeat_is_found_that_a_suffix_array_finds(shared_data: Path) -> None:
    divsufsort = pytest.importorskip("pydivsufsort", reason="suffix arrays are the oracle")
    stories = shared_data / "pretrain/stories/tinystories.txt"
    copy = shared_data / "raw/dedup/tinystories_other_copy.txt"
    parts = [stories.read_text()[:300_000], copy.read_text()]
    texts, length = texts_of(parts), 200
    data = texts.data[: texts.offsets[-1]].tobytes()
    suffixes = divsufsort.divsufsort(data)
    common = divsufsort.kasai(data, suffixes)
    found = np.zeros(len(data), bool)
    for start, stop in repeated_spans(texts, length):
        found[start:stop] = True
    assert (found == repeats_by_suffixes(suffixes, common, texts, length)).all()
    assert found[texts.offsets[1] :].mean() > 0.3


def repeats_by_suffixes(suffixes: np.ndarray, common: np.ndarray, texts: Texts, length: int) -> np.ndarray:
    """Bytes of stretches of ``length`` that do not cross texts and begin earlier too."""
    marked = np.zeros(len(suffixes) + 1, np.int64)
    inside = np.array(
        [min(stop for stop in texts.offsets[1:] if stop > start) for start in (0, texts.offsets[1])]
    )
    group: list[int] = []
    for rank, place in enumerate(suffixes):
        end = inside[0] if place < texts.offsets[1] else inside[1]
        if place + length <= end:
            group.append(int(place))
        if rank + 1 == len(suffixes) or common[rank] < length:
            for repeat in sorted(group)[1:]:
                marked[repeat] += 1
                marked[repeat + length] -= 1
            group = []
    return np.cumsum(marked)[:-1] > 0


def test_stretches_are_cut_to_sentences_and_taken_out() -> None:
    common = "The boat lay at the quay. Nobody knew whose it was. It had been there for years. "
    texts = pa.array(
        [f"Once upon a time. {common}", f"It was cold now. {common}Then it sailed."], pa.large_string()
    )
    stretches = repeated_stretches(texts, 50)
    assert stretches == [[], [(17, 17 + len(common))]]
    assert without_stretches(texts, stretches).to_pylist()[1] == "It was cold now. Then it sailed."


@settings(deadline=None, max_examples=25)
@given(
    st.lists(st.text("aé€😀. \n", max_size=80), max_size=5),
    st.sampled_from(["character", "sentence", "line"]),
)
def test_what_stays_is_text_whatever_is_cut(parts: list[str], cut: Cut) -> None:
    texts = pa.array(parts * 2, pa.large_string())
    stretches = repeated_stretches(texts, 16, cut)
    kept = without_stretches(texts, stretches)  # decodes
    sizes = [sum(stop - start for start, stop in spans) for spans in stretches]
    assert [len(text.encode()) for text in kept.to_pylist()] == [
        len(text.encode()) - size for text, size in zip(texts.to_pylist(), sizes, strict=True)
    ]
