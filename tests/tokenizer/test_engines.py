"""The two engines encode alike, and GPT-2's own files give the ids that the world knows."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
import tiktoken
import tiktoken.load
import tokenizers
from hypothesis import given, settings
from tokenizers import Regex, pre_tokenizers

from towpath.tokenizer import GPT2_PATTERN, PATTERN, Tokenizer
from towpath.tokenizer.bpe import train_merges
from towpath.tokenizer.hf_format import RANKED_PATTERNS, tokenizer_json

from .doubles import SENTENCES, texts


def by_merges(tokenizer: Tokenizer, folder: Path) -> tokenizers.Tokenizer:
    """The oracle: HF's engine on the saved file, with special names taken as text."""
    engine = tokenizers.Tokenizer.from_file(str(tokenizer.save(folder)))
    engine.encode_special_tokens = True
    return engine


@pytest.fixture(scope="module", params=range(len(RANKED_PATTERNS)), ids=["own", "gpt2", "llama3", "qwen2"])
def pair(request, tmp_path_factory) -> tuple[Tokenizer, tokenizers.Tokenizer]:
    merges = train_merges(SENTENCES * 3, 400)
    ours = Tokenizer(tokenizer_json(merges, RANKED_PATTERNS[request.param], ["<|endoftext|>", "<|end|>"]))
    assert ours._ranks is not None
    return ours, by_merges(ours, tmp_path_factory.mktemp("engine"))


@given(text=texts())
@settings(max_examples=60, deadline=None)
def test_encoding_by_ranks_equals_encoding_by_merges(pair, text):
    ours, oracle = pair
    assert ours.encode(text) == oracle.encode(text, add_special_tokens=False).ids


def test_both_engines_agree_on_characters_of_every_kind(pair):
    """One character in 251, and all that a case-insensitive pattern may take for an ASCII letter."""
    ours, oracle = pair
    characters = [chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000]
    chosen = [c for c in characters if c.casefold().isascii() or c.upper().isascii()] + characters[::251]
    for template in ("{}", "'{}", "a{}b", " {}\n", "1{}2"):
        text = "".join(map(template.format, chosen))
        assert ours.encode(text) == oracle.encode(text, add_special_tokens=False).ids


@pytest.mark.parametrize("pattern", [r"\p{L}", r"\p{N}", r"\s"])
def test_both_regex_engines_know_the_same_characters_of_a_class(pattern):
    one_byte = {bytes([byte]): byte for byte in range(256)}
    rust = tiktoken.Encoding("bytes", pat_str=pattern, mergeable_ranks=one_byte, special_tokens={})
    oniguruma = pre_tokenizers.Split(Regex(pattern), "removed")
    for start in range(0, 0x110000, 0x8000):
        text = "".join(chr(code) for code in range(start, start + 0x8000) if not 0xD800 <= code < 0xE000)
        in_class = bytes(rust.encode_ordinary(text)).decode()
        outside = "".join(part for part, _ in oniguruma.pre_tokenize_str(text))
        assert len(in_class) + len(outside) == len(text), f"near U+{start:04X}"


def test_python_knows_every_whitespace_character_that_the_engines_know():
    """The guard against long whitespace is written with Python's class."""
    one_byte = {bytes([byte]): byte for byte in range(256)}
    rust = tiktoken.Encoding("bytes", pat_str=r"\s", mergeable_ranks=one_byte, special_tokens={})
    spaces = bytes(rust.encode_ordinary("".join(map(chr, range(0x3100))))).decode()
    assert spaces
    assert all(re.match(r"\s", space) for space in spaces)


HOSTILE = {
    "letters": "a",
    "spaces": " ",
    "newlines": "\n",
    "lines-of-spaces": " \n",
    "carets": "^",
    "digits": "1",
    "two-byte-letters": "é",
    "wide-spaces": "\u3000",
    "long-spaces": " " * 99_999 + "a",
}


@pytest.mark.parametrize("size", [150_000, pytest.param(1_000_000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("unit", HOSTILE.values(), ids=HOSTILE)
def test_very_long_words_are_encoded_in_linear_time(tokenizer, unit, size):
    text = unit * (size // len(unit)) + "a"
    started = time.process_time()
    ids = tokenizer.encode(text)
    assert time.process_time() - started < 30e-6 * size  # 0.1 to 3 s for 1,000,000 here; quadratic: minutes
    assert tokenizer.decode(ids) == text


def test_long_whitespace_gets_the_ids_that_encoding_by_merges_gives(tokenizer, tmp_path):
    oracle = by_merges(tokenizer, tmp_path)
    for text in (" " * 99_999, "x" + " " * 100_000 + "x"):
        assert tokenizer.encode(text) == oracle.encode(text, add_special_tokens=False).ids


@pytest.fixture(scope="module")
def gpt2(shared_data) -> Tokenizer:
    return Tokenizer.load(shared_data / "models")


def test_gpt2s_own_files_give_its_known_ids(gpt2):
    assert gpt2.encode("Hello world") == [15496, 995]
    assert gpt2.encode("Hello, I'm a language model,") == [15496, 11, 314, 1101, 257, 3303, 2746, 11]
    assert gpt2.encode("    spaces\n\n") == [220, 220, 220, 9029, 628]
    assert (gpt2.vocab_size, gpt2.end_of_text, gpt2.special) == (50257, 50256, {"<|endoftext|>": 50256})
    assert gpt2.decode([50256, 15496, 995]) == "<|endoftext|>Hello world"


def test_gpt2_is_encoded_by_ranks(gpt2):
    assert gpt2._ranks is not None


@pytest.fixture(scope="module")
def other_gpt2s(shared_data):
    from transformers import GPT2Tokenizer

    vocabulary, merges = shared_data / "models/gpt2_encoder.json", shared_data / "models/gpt2_vocab.bpe"
    ranks = tiktoken.load.data_gym_to_mergeable_bpe_ranks(str(merges), str(vocabulary))
    theirs = tiktoken.Encoding("gpt2", pat_str=GPT2_PATTERN, mergeable_ranks=ranks, special_tokens={})
    return theirs, GPT2Tokenizer(vocab=str(vocabulary), merges=str(merges))


@given(text=texts())
@settings(max_examples=60, deadline=None)
def test_gpt2s_ids_equal_those_of_tiktoken_and_transformers(gpt2, other_gpt2s, text):
    theirs, transformers = other_gpt2s
    ids = gpt2.encode(text)
    assert ids == theirs.encode_ordinary(text)
    assert ids == transformers.encode(text, split_special_tokens=True)
    assert gpt2.decode(ids) == text


def test_the_piece_pattern_cuts_as_it_is_meant_to():
    cut = pre_tokenizers.Split(Regex(PATTERN), "isolated")
    pieces = [piece for piece, _ in cut.pre_tokenize_str("They'LL pay 12345 €, isn't it?!\n\n  ok\t fine")]
    assert pieces == [
        *(
            "They",
            "'LL",
            " pay",
            " ",
            "12",
            "34",
            "5",
            " €,",
            " isn",
            "'t",
            " it",
            "?!\n\n",
            " ",
            " ok",
            "\t",
        ),
        " fine",
    ]
