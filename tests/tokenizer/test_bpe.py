from __future__ import annotations

import random
import time
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import pre_tokenizers

from towpath.core.errors import TokenizerError
from towpath.tokenizer.bpe import ALPHABET, disagreement, spell, train_merges, unspell


def parts_of(token: bytes, ranks: dict[bytes, int]) -> list[bytes]:
    """The oracle: merge the lowest rank, leftmost first, until two parts are left."""
    parts = [token[index : index + 1] for index in range(len(token))]
    while len(parts) > 2:
        best, at = min((ranks.get(a + b, 1 << 60), place) for place, (a, b) in enumerate(pairwise(parts)))
        if best == 1 << 60:
            break
        parts[at : at + 2] = [parts[at] + parts[at + 1]]
    return parts


def is_ambiguous(merges: list[tuple[bytes, bytes]]) -> bool:
    ranks = {bytes([byte]): byte for byte in range(256)}
    for position, (left, right) in enumerate(merges):
        token = left + right
        if left not in ranks or right not in ranks or token in ranks:
            return True
        if parts_of(token, ranks) != [left, right]:
            return True
        ranks[token] = 256 + position
    return False


@st.composite
def merge_lists(draw: st.DrawFn) -> list[tuple[bytes, bytes]]:
    """Merges of tokens that exist, picked at random, so that many lists are ambiguous."""
    tokens = [b"a", b"b"]
    merges = []
    for _ in range(draw(st.integers(1, 8))):
        left, right = draw(st.sampled_from(tokens)), draw(st.sampled_from(tokens))
        merges.append((left, right))
        tokens.append(left + right)
    return merges


@given(merge_lists())
@settings(max_examples=200)
def test_a_merge_list_is_refused_exactly_when_taking_its_tokens_apart_gives_other_pairs(merges):
    assert (disagreement(merges) is not None) == is_ambiguous(merges)


def test_two_ways_to_make_one_token_are_named():
    merges = [(b"a", b"a"), (b"aa", b"a"), (b"a", b"aa")]
    assert disagreement(merges) == "merge 2 (b'a', b'aa') makes a token that an earlier merge made already"


def test_a_token_that_earlier_merges_would_never_make_is_named():
    merges = [(b"b", b"c"), (b"a", b"b"), (b"ab", b"c")]
    assert "merge 2 (b'ab', b'c') never happens in b'abc', because (b'b', b'c')" in str(disagreement(merges))


@given(st.lists(st.text(alphabet="ab \n", min_size=1, max_size=80), min_size=1, max_size=20))
@settings(max_examples=30, deadline=None)
def test_trained_merges_are_never_ambiguous_even_on_overlapping_runs(texts):
    merges = train_merges(texts, count=150)
    assert not is_ambiguous(merges)


def test_training_does_not_depend_on_the_order_of_texts_nor_on_chance():
    rng = random.Random(0)
    texts = ["".join(rng.choice("abcde ") for _ in range(200)) for _ in range(50)]
    merges = train_merges(texts, count=300)
    rng.shuffle(texts)
    assert train_merges(texts, count=300) == merges
    assert len(merges) == 300


def test_a_bound_on_token_length_holds():
    merges = train_merges(["-" * 500 + " word" * 50], count=100, max_token_bytes=4)
    assert max(len(left + right) for left, right in merges) == 4


@pytest.mark.parametrize("letter", ["a", " ", "\n", "é"])
def test_one_long_word_does_not_take_quadratic_time_to_train_on(letter):
    started = time.process_time()
    merges = train_merges([letter * 1_000_000], count=40)
    assert time.process_time() - started < 10  # 500 s when the trainer sees one word of 1,000,000 letters
    assert merges


def test_training_on_nothing_says_so():
    with pytest.raises(TokenizerError, match="There is no text to train a tokenizer on"):
        train_merges(["", ""], count=10)


def test_a_lone_surrogate_in_the_training_text_is_named_with_its_place():
    with pytest.raises(TokenizerError, match=r"text 1 holds the lone surrogate U\+D83D at character 3"):
        train_merges(["fine", "bad\ud83d"], count=10)


def test_bytes_are_spelled_as_the_tokenizers_library_does():
    spelling = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    for character in [*map(chr, range(0x800)), "東", "🚢", "\U0010ffff"]:
        assert spelling.pre_tokenize_str(character)[0][0] == spell(character.encode())
    assert set(pre_tokenizers.ByteLevel.alphabet()) == set(ALPHABET)


@given(st.binary())
def test_spelling_a_token_and_reading_it_gives_the_same_bytes(token):
    assert unspell(spell(token)) == token


@given(st.text(min_size=1))
def test_only_text_of_the_alphabet_spells_bytes(text):
    assert (unspell(text) is not None) == all(character in ALPHABET for character in text)
