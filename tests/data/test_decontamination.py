from __future__ import annotations

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from towpath.data.kernels.ngram_overlap import Overlaps, Records, overlaps, reference_overlaps
from towpath.data.kernels.texts import Texts


def texts_of(parts: list[str]) -> Texts:
    return Texts.of(pa.array(parts, pa.large_string()))


def records_of(parts: list[str], most: list[int] | int = 13, least: int = 8) -> Records:
    most_words = np.broadcast_to(np.array(most, np.int64), len(parts)).copy()
    return Records(texts_of(parts), most_words, np.minimum(most_words, least))


words = st.sampled_from(["a", "A", "b", "ab", "É", "é", "漢字", "\u3000", "—", "x_1", "overlapping"])
parts = st.lists(st.lists(words, max_size=12).map(" ".join), max_size=6)


@settings(deadline=None, max_examples=50)
@given(parts, parts, st.integers(1, 5), st.integers(1, 4))
def test_the_kernel_finds_exactly_the_runs_that_the_reference_does(
    records: list[str], texts: list[str], most: int, least: int
) -> None:
    several = [most + number % 2 for number in range(len(records))]
    asked = records_of(records, several, least)
    found, expected = overlaps(asked, texts_of(texts)), reference_overlaps(asked, texts_of(texts))
    assert found.hits.tolist() == expected.hits.tolist()
    assert found.lengths.tolist() == expected.lengths.tolist()


@settings(deadline=None, max_examples=50)
@given(st.binary(max_size=60), st.binary(max_size=60))
def test_any_bytes_can_be_searched_for_any_bytes(record: bytes, text: bytes) -> None:
    def column(raw: bytes) -> Texts:
        return Texts(np.array([0, len(raw)], np.int64), np.frombuffer(raw, np.uint8))

    records = Records(column(record), np.array([2], np.int64), np.array([1], np.int64))
    found: Overlaps = overlaps(records, column(text))
    assert ((found.hits[:, 1] < found.hits[:, 2]) & (found.hits[:, 2] <= len(text))).all()
