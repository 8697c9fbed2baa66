from __future__ import annotations

import gzip
import json
import unicodedata
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from towpath.core.texts import Texts
from towpath.data.features.length import LengthFeatures
from towpath.data.features.text import TextFeatures
from towpath.data.kernels.text_classes import class_table, english_exceptions
from towpath.data.kernels.text_features import NAMES, reference_text_features, text_features
from towpath.data.kernels.words import split_words


def features(*texts: str) -> list[dict[str, float]]:
    table = TextFeatures().compute(pa.table({"text": pa.array(texts, pa.large_string())}))
    return table.to_pylist()


def assert_as_reference(texts: list[str]) -> None:
    for text, row in zip(texts, features(*texts), strict=True):
        reference = reference_text_features(text)
        assert row == {name: reference[name] for name in NAMES}, text[:200]


SPLIT = {
    "It isn't 5km/h, Mr. Smith's dog-house.": "It is n't 5 km/h , Mr. Smith 's dog - house .",
    "(see example.com/a-b,c or a@b.org)": "( see example.com/a-b,c or a@b.org )",
    "U.S. and e.g. end.Up to..more $5 US$7 12%": "U.S. and e.g. end . Up to .. more $ 5 US$ 7 12 %",
    "don’t 10-20 3+4 well--known a,b 1,000": "do n’t 10 - 20 3 + 4 well -- known a , b 1,000",
    "“Größe” …и так далее— да": "“ Größe ” … и так далее — да",
}


@pytest.mark.parametrize("text", SPLIT)
def test_words_are_split_as_english_is(text: str) -> None:
    assert split_words(text) == SPLIT[text].split()


@pytest.mark.slow
def test_words_are_split_as_spacy_splits_them(shared_data: Path) -> None:
    spacy = pytest.importorskip("spacy").blank("en")
    web = [json.loads(line)["text"] for line in (shared_data / "pretrain/web/c4.jsonl").open()]
    different = n_words = 0
    for text in [*SPLIT, *web]:
        theirs = [token.text for token in spacy(text) if token.text.strip()]
        different += len(set(theirs) ^ set(split_words(text)))
        n_words += len(theirs)
    # Emoticons inside longer strings, see the module's deviations.
    assert different < 0.0005 * n_words


# The strings of which texts are made: each leads to a branch of its own.
PIECES = st.sampled_from(
    (
        "the be to of and that have with word WORD don't cannot U.S. 5km 10's e.g. ... .. … - -- — • # { }"
        " [1] [edit] [citation needed] lorem ipsum javascript privacy policy use cookies http://a.bc/d"
        " x@y.zz a.b.C(d) 1.2.3.4 $5 US$ C++ +1 +a Größe и ни да 日本 ° °C. ½ '' ’s 's ,a,b /x :y <z> ~ é."
        " ÀÉ. ?! . , \x85 \u2028 \r\n \x1c \u3000 \u00a0|\n|\n\n|\n\n\n|  |\t|. |\r"
    )
    .replace(" ", "|")
    .split("|")
)
TEXTS = st.lists(PIECES, max_size=80)


@given(TEXTS.map("".join) | TEXTS.map(" ".join) | st.text(max_size=80))
@example("")
@example("\n")
@example("\n\n a \n\n")
@example("one two three four five six. " * 9)
@settings(max_examples=50, deadline=None)
def test_the_kernel_gives_what_its_python_gives(text: str) -> None:
    assert_as_reference([text])


def test_the_kernel_gives_what_its_python_gives_on_real_texts(shared_data: Path) -> None:
    web = [json.loads(line)["text"] for line in (shared_data / "pretrain/web/c4.jsonl").open()]
    with gzip.open(shared_data / "pretrain/encyclopedia/factbook.jsonl.gz", "rt") as file:
        pages = [json.loads(next(file))["text"][:5_000] for _ in range(3)]
    wiki = (shared_data / "pretrain/encyclopedia/wikipedia_text.txt").read_text()[:20_000].split("\n")
    code = [Path(__file__).read_text(), (shared_data / "raw/pile/blns.txt").read_text()]
    assert_as_reference([*web[:40], *pages, *wiki, *code])


def test_any_bytes_are_read() -> None:
    hostile = [
        b"\xff\xfe a\xc3",
        b"\xe2\x80",
        b"\xf0\x9f\x98",
        b"a\xed\xa0\x80b. " * 20,
        b"\xc2",
        b"\x80" * 50,
        b"\n\xe2\n",
    ]
    texts = Texts.of(pa.array(hostile, pa.large_binary()).view(pa.large_string()))
    columns = text_features(texts)
    assert all(len(column) == len(hostile) for column in columns.values())


def test_shares_are_numbers_for_texts_without_words() -> None:
    for row in features("", " \n ", "\n\n"):
        assert all(value == value and value >= 0 for value in row.values())
    assert features("")[0] == dict.fromkeys(NAMES, 0)


def test_each_feature_counts_what_its_name_says() -> None:
    (row,) = features(
        "- The cat # sat...\n• the dog ran…\n\n- The cat # sat...\n{x} and [2] lorem ipsum a b."
    )
    assert row["n_stop_words"] == 2
    assert row["bullet_line_share"] == pytest.approx(3 / 5)
    assert row["ellipsis_line_share"] == pytest.approx(3 / 5)
    assert row["duplicate_line_share"] == pytest.approx(1 / 4)
    assert row["duplicate_paragraph_share"] == 0
    assert row["c4_lorem_ipsum_lines"] == 1
    assert row["c4_sentences"] == 0
    (row,) = features("One two three. Four five six! Seven?\nA menu\nEight nine ten")
    assert (row["c4_sentences"], row["c4_any_end_sentences"]) == (3, 4)
    assert row["terminal_line_share"] == pytest.approx(1 / 3)
    assert row["short_line_share"] == pytest.approx(2 / 3)


def test_repeated_ngrams_are_seen_whole() -> None:
    (row,) = features("red blue red blue red blue")
    assert row["top_2gram_char_share"] == pytest.approx(8 * 3 / 26)
    words = "one two three four five six seven eight nine ten"
    (row,) = features(f"{words} {words}")
    assert row["duplicate_10gram_char_share"] == pytest.approx(
        len(words.replace(" ", "")) / (2 * len(words) + 1)
    )


def test_length_counts_characters() -> None:
    table = pa.table({"text": pa.array(["größe", None, ""], pa.large_string())})
    assert LengthFeatures().compute(table)["n_chars"].to_pylist() == [5, 0, 0]


def test_the_table_of_characters_is_unicodes() -> None:
    table = class_table()
    for code in range(0, 0x3000):
        character = chr(code)
        if unicodedata.category(character) == "Cn":
            continue
        assert bool(table[code] & 1) == character.isspace()
        assert bool(table[code] & 16384) == (len(f"a{character}b".splitlines()) == 2)
    assert english_exceptions()["don't"] == ("do", "n't")
