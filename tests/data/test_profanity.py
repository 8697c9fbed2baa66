from __future__ import annotations

import re
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from towpath.core.errors import ConfigError
from towpath.core.texts import Texts
from towpath.data.features.profanity import WITHOUT_SPACES, ProfanityFeatures, packaged_lists
from towpath.data.filters.profanity import ProfanityConfig
from towpath.data.judging import reasons_to_drop
from towpath.data.kernels.word_list import WordLists

from .conftest import document

LISTS = WordLists({"mild": ["darn", "darn it", "heck", "größe"], "signs": ["$#!", "it", "ÄB"]})
ANYWHERE = WordLists({"zh": ["坏", "坏人"], "ja": ["わるい", "坏"]}, bounded=False)


def counts(lists: WordLists, text: str) -> list[int]:
    return lists.counts(Texts.of(pa.array([text], pa.large_string())))[0].tolist()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Darn! HECK, heck.", [3, 0, 3, 12]),
        ("darn\nit and darn\tit", [2, 0, 2, 14]),  # the longest, whatever the white space
        ("darned heckle undarn darn_ darn2", [0, 0, 0, 0]),
        ("GRÖSSE GRÖßE größe", [2, 0, 2, 10]),
        ("what the $#! is it", [0, 2, 2, 5]),
        ("äb", [0, 1, 1, 2]),
        ("", [0, 0, 0, 0]),
    ],
)
def test_phrases_count_as_whole_words_in_any_case(text: str, expected: list[int]) -> None:
    assert counts(LISTS, text) == expected
    assert LISTS.reference_counts(text) == expected


def test_languages_without_spaces_count_anywhere() -> None:
    assert counts(ANYWHERE, "他是坏人坏了") == [2, 1, 2, 3]


@given(st.text(alphabet="darn itheckÄBäb$#!_2 \n坏人\U0001f595\u0130", max_size=60))
@settings(max_examples=50, deadline=None)
def test_the_kernel_counts_as_its_python_does(text: str) -> None:
    for lists in (LISTS, ANYWHERE):
        assert counts(lists, text) == lists.reference_counts(text)


def test_any_bytes_are_read() -> None:
    for text in (b"\xff\xc3", b"darn\xe2\x80", b"\xf0\x9f darn \x00", b"\xed\xa0\x80"):
        texts = Texts.of(pa.array([text], pa.large_binary()).view(pa.large_string()))
        assert LISTS.counts(texts).shape == (1, 4)


def test_the_packaged_english_list_finds_what_c4s_expression_finds(shared_data: Path) -> None:
    words = [
        line
        for line in (Path(__file__).parents[2] / "src/towpath/data/filters/words/en.txt")
        .read_text()
        .splitlines()
        if not line.startswith("# ")
    ]
    # As in datatrove's C4BadWordsFilter.
    expression = re.compile(r"(?:\W|^)({})(?:\W|$)".format("|".join(map(re.escape, words))))
    texts = (shared_data / "raw/irc").glob("*")
    chunks = [
        text[i : i + 2_000]
        for text in map(Path.read_text, sorted(texts))
        for i in range(0, len(text), 40_000)
    ]
    table = ProfanityFeatures().compute(pa.table({"text": pa.array(chunks, pa.large_string())}))
    found = [count > 0 for count in table["profanities"].to_pylist()]
    assert 0 < sum(found) < len(found)
    assert found == [expression.search(chunk.lower()) is not None for chunk in chunks]


def test_each_packaged_list_can_be_counted() -> None:
    names = tuple(packaged_lists())
    assert len(names) == 27
    assert set(WITHOUT_SPACES) < set(names)
    table = ProfanityFeatures(lists=names).compute(
        pa.table({"text": pa.array(["Scheiße", None], pa.large_string())})
    )
    assert table["profanities_de"].to_pylist() == [1, 0]
    assert table["profanity_char_share"].to_pylist() == [1.0, 0.0]


def test_count_and_density_decide(tmp_path: Path) -> None:
    own = tmp_path / "own.txt"
    own.write_text("# ours\nbanana split\n", encoding="utf-8")
    config = ProfanityConfig(lists=(), paths=(str(own),), max_count=1, max_char_share=0.5)
    texts = ["a Banana split", "banana split. " * 2, "banana split"]
    reasons = reasons_to_drop([document(text) for text in texts], [config])
    assert reasons == ["dense_profanity", "profanity", "dense_profanity"]
    assert reasons_to_drop([document(texts[1])], [ProfanityConfig(max_count=0)]) == [None]


def test_unknown_and_unreadable_lists_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"Unknown word list 'eng'\. Did you mean 'en'\?"):
        ProfanityConfig(lists=("eng",))
    with pytest.raises(ValueError, match="the word list 'en' cannot name a column"):
        ProfanityConfig(paths=(str(tmp_path / "en.txt"),))
    features = ProfanityFeatures(paths=(str(tmp_path / "none.txt"),))
    with pytest.raises(ConfigError, match=r"none\.txt cannot be read"):
        features.compute(pa.table({"text": pa.array(["x"], pa.large_string())}))
