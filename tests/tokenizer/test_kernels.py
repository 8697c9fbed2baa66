"""The kernels against their Python references, ``regex``, tiktoken and ``tokenizers``."""

from __future__ import annotations

import gzip
import os
import pickle
import random
import subprocess
import sys
from collections import Counter
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import tiktoken
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Regex, pre_tokenizers

from tests.sanitized import check
from towpath.core.texts import Texts
from towpath.tokenizer import PATTERN, Tokenizer, bpe
from towpath.tokenizer.bpe import ALPHABET, train_merges
from towpath.tokenizer.hf_format import RANKED_PATTERNS, read_layout, tokenizer_json
from towpath.tokenizer.kernels.encoder import Encoder, reference_encode
from towpath.tokenizer.kernels.merges import learn_merges, reference_learn_merges
from towpath.tokenizer.kernels.pieces import kinds, reference_pieces, rules_of
from towpath.tokenizer.kernels.word_counts import (
    LONGEST_RUN,
    WordCounts,
    reference_word_counts,
    word_counts,
)

from .doubles import SENTENCES, texts

PATTERNS = pytest.mark.parametrize("pattern", RANKED_PATTERNS, ids=["own", "gpt2", "llama3", "qwen2"])


def counted(some_texts: list[str], pattern: str = PATTERN) -> WordCounts:
    found = word_counts([[text.encode() for text in some_texts]], pattern)
    assert found is not None, "compile the kernels: python setup.py build_ext --inplace"
    return found


@cache
def text_of_any_character(seed: int, size: int | None) -> str:
    """``size`` different characters (all when None) in any order, with ASCII strewn in."""
    rng = random.Random(seed)
    characters = [chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000]
    characters = rng.sample(characters, size or len(characters))
    return "".join(c + rng.choice(" a1'\n.s\r\t-")[: rng.randint(0, 1)] for c in characters)


@pytest.mark.parametrize(("pattern", "kind"), [(r"\p{L}", {1}), (r"\p{N}", {2}), (r"\s", {3, 4})])
def test_the_kinds_of_characters_are_the_classes_of_the_engines(pattern, kind):
    one_byte = {bytes([byte]): byte for byte in range(256)}
    rust = tiktoken.Encoding("bytes", pat_str=pattern, mergeable_ranks=one_byte, special_tokens={})
    for start in range(0, 0x110000, 0x8000):
        codes = [code for code in range(start, start + 0x8000) if not 0xD800 <= code < 0xE000]
        found = bytes(rust.encode_ordinary("".join(map(chr, codes)))).decode()
        assert found == "".join(chr(code) for code in codes if kinds()[code] in kind)


@PATTERNS
@given(text=texts())
@settings(max_examples=40, deadline=None)
def test_words_are_cut_as_the_engine_of_tokenizers_cuts_them(pattern, text):
    theirs = [piece for piece, _ in pre_tokenizers.Split(Regex(pattern), "isolated").pre_tokenize_str(text)]
    assert reference_pieces(text, pattern) == theirs
    assert counted([text], pattern).as_mapping() == Counter(piece.encode() for piece in theirs)


@PATTERNS
@given(text=st.text(alphabet="'sSlLveEdſK aé1٣ \t\n\r.\u3000\u0300", max_size=30))
@settings(max_examples=50, deadline=None)
def test_words_are_cut_as_the_regex_package_cuts_them(pattern, text):
    regex = pytest.importorskip("regex")
    pieces = regex.findall(pattern, text, flags=regex.VERSION1)
    assert counted([text], pattern).as_mapping() == Counter(piece.encode() for piece in pieces)


@PATTERNS
@pytest.mark.parametrize("size", [20_000, pytest.param(None, marks=pytest.mark.slow)])
def test_characters_of_all_of_unicode_in_any_order_are_cut_alike(pattern, size):
    text = text_of_any_character(3, size)
    parts = [text[start : start + 1000] for start in range(0, len(text), 1000)]
    cut = pre_tokenizers.Split(Regex(pattern), "isolated")
    theirs = Counter(piece.encode() for part in parts for piece, _ in cut.pre_tokenize_str(part))
    assert counted(parts, pattern).as_mapping() == theirs


@pytest.mark.parametrize("letter", ["a", " ", "\n", "é", "\x1c", "'"])
@pytest.mark.parametrize("extra", [-1, 0, 1, LONGEST_RUN, LONGEST_RUN + 1])
def test_long_runs_are_cut_alike(letter, extra):
    run = letter * (LONGEST_RUN + extra)
    for text in (run, f"ab {run}", f"x{run}y z", f" {run} {run}"):
        by_reference = reference_word_counts([[text.encode()]], PATTERN)
        assert counted([text]).as_mapping() == by_reference.as_mapping()


def test_counting_in_batches_gives_what_counting_at_once_gives():
    batches = [[text.encode()] for text in SENTENCES]
    together = counted(SENTENCES).as_mapping()
    assert list(word_counts(batches, PATTERN).as_mapping().items()) == list(together.items())


@given(st.lists(st.one_of(texts(), st.text(alphabet="ab ", max_size=60)), min_size=1, max_size=8))
@settings(max_examples=20, deadline=None)
def test_merges_are_those_of_the_reference(several):
    words = counted(several)
    for bound in (None, 3, 5):
        found = learn_merges(words, 40, 2, bound, ALPHABET)
        assert found == reference_learn_merges(words, 40, 2, bound, ALPHABET)


@given(several=st.lists(st.one_of(texts(), st.text(alphabet="aé \n", max_size=60)), min_size=1, max_size=8))
@settings(max_examples=20, deadline=None)
def test_merges_are_those_of_the_trainer_of_tokenizers(several):
    several = [*several, "end"]
    for bound in (None, 4):
        batches = [[text.encode() for text in several]]
        assert train_merges(several, 200, bound) == bpe._merges_by_tokenizers(batches, 200, bound)


def prose(shared_data: Path, size_bytes: int) -> list[str]:
    """Documents of 4,000 characters out of every file of training text."""
    found: list[str] = []
    for path in sorted((shared_data / "pretrain").rglob("*")):
        if path.is_file():
            data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
            text = data[:size_bytes].decode(errors="replace")
            found += [text[start : start + 4000] for start in range(0, len(text), 4000)]
    return found


def test_merges_of_real_text_are_those_of_the_trainer_of_tokenizers(shared_data):
    several = prose(shared_data, 20_000)
    batches = [[text.encode() for text in several]]
    assert train_merges(several, 2000, 64) == bpe._merges_by_tokenizers(batches, 2000, 64)


@pytest.mark.parametrize("size_bytes", [20_000, pytest.param(1 << 40, marks=pytest.mark.slow)])
def test_ids_of_real_text_are_those_of_tiktoken_and_tokenizers(shared_data, size_bytes):
    gpt2 = Tokenizer.load(shared_data / "models")
    several = prose(shared_data, size_bytes)
    for place, ids in enumerate(gpt2.encode_batch(several, threads=2)):
        assert np.array_equal(ids, gpt2._encode(several[place], "text"))
        if place % 40 == 0:
            assert np.array_equal(ids, gpt2._encode_by_merges(several[place], "text"))


def test_counts_beyond_32_bits_do_not_overflow():
    words = WordCounts.of({b"ab": 1 << 40, b"cd": (1 << 40) + 1, b"abab": 1 << 61})
    expected = [(b"a", b"b"), (b"ab", b"ab"), (b"c", b"d")]
    assert learn_merges(words, 3, 2, None, ALPHABET) == expected
    assert reference_learn_merges(words, 3, 2, None, ALPHABET) == expected


@pytest.fixture(scope="module", params=range(len(RANKED_PATTERNS)), ids=["own", "gpt2", "llama3", "qwen2"])
def ranks(request):
    merges = train_merges(SENTENCES * 3, 400)
    found = read_layout(tokenizer_json(merges, RANKED_PATTERNS[request.param], ["<|end|>"]), "here").ranks
    assert found is not None
    return found


@given(several=st.lists(texts(), max_size=5))
@settings(max_examples=40, deadline=None)
def test_ids_are_those_of_the_reference_and_of_tiktoken(ranks, several):
    encoder = Encoder.of(ranks.pattern, ranks.merges, ranks.ids)
    rank_of = {token: number for number, token in zip(ranks.ids, ranks.tokens, strict=True)}
    tiktokens = tiktoken.Encoding("t", pat_str=ranks.pattern, mergeable_ranks=rank_of, special_tokens={})
    ids, ends = encoder.encode(Texts.of_bytes(text.encode() for text in several))
    split = [part.tolist() for part in np.split(ids, ends[:-1])] if several else []
    assert split == [reference_encode(t, ranks.pattern, ranks.merges, ranks.ids) for t in several]
    assert split == [tiktokens.encode_ordinary(text) for text in several]


def test_ids_do_not_depend_on_what_was_encoded_before(ranks):
    used = Encoder.of(ranks.pattern, ranks.merges, ranks.ids)
    rng = random.Random(0)
    for _ in range(200):
        text = "".join(rng.choices("abcdefgh the lock", k=400))
        fresh = pickle.loads(pickle.dumps(used))
        for encoder in (used, used, fresh):
            ids, _ = encoder.encode(Texts.of_bytes([text.encode()]))
            assert np.array_equal(ids, fresh.encode(Texts.of_bytes([text.encode()]))[0])


def test_a_word_beyond_every_short_cut_is_merged_alike(ranks):
    for size in (23, 24, 25, 47, 48, 49, 300):
        text = ("gatelockboat" * 30)[:size]
        ids, _ = Encoder.of(ranks.pattern, ranks.merges, ranks.ids).encode(Texts.of_bytes([text.encode()]))
        assert ids.tolist() == reference_encode(text, ranks.pattern, ranks.merges, ranks.ids)


@given(data=st.lists(st.binary(max_size=60), max_size=4))
@settings(max_examples=50, deadline=None)
def test_no_byte_is_lost_in_what_is_no_utf8(ranks, data):
    ids, ends = Encoder.of(ranks.pattern, ranks.merges, ranks.ids).encode(Texts.of_bytes(data))
    token_of = dict(zip(ranks.ids, ranks.tokens, strict=True))
    parts = np.split(ids, ends[:-1]) if data else []
    assert [b"".join(token_of[number] for number in part.tolist()) for part in parts] == data


@pytest.mark.parametrize("pattern", [r"\w+", PATTERN + "|x"])
def test_an_unknown_pattern_is_left_to_the_library(pattern):
    assert rules_of(pattern) is None
    assert Encoder.of(pattern, [], list(range(256))) is None


def test_without_the_kernels_the_same_tokenizer_and_ids_come_out():
    code = (
        "from towpath.tokenizer import train_tokenizer; from tests.tokenizer.doubles import SENTENCES;"
        "t = train_tokenizer(SENTENCES * 3, 600);"
        "print(t.sha256, [i.tolist() for i in t.encode_batch(SENTENCES)], t._encoder is None)"
    )
    runs = [
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "TOWPATH_KERNELS": switch},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for switch in ("on", "off")
    ]
    assert runs[0].replace("False\n", "True\n") == runs[1]
    assert runs[1].endswith("True\n")


@pytest.mark.slow
def test_sanitizers_find_nothing_on_any_bytes(tmp_path):
    check("towpath.tokenizer.kernels", "tests.tokenizer.kernels_on_any_bytes", tmp_path)
