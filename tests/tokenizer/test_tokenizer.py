from __future__ import annotations

import json
import random
import subprocess
import sys

import numpy as np
import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers

from towpath.core.errors import TokenizerError
from towpath.tokenizer import SPECIAL_TOKENS, ByteTokenizer, Tokenizer, TokenizerConfig, train_tokenizer

from .doubles import SENTENCES, texts


@given(text=texts())
@settings(max_examples=100, deadline=None)
def test_decoding_what_was_encoded_gives_the_same_text(tokenizer, text):
    assert tokenizer.decode(tokenizer.encode(text)) == text


@given(text=texts())
@settings(max_examples=100, deadline=None)
def test_text_never_produces_a_special_id(tokenizer, text):
    assert not set(tokenizer.encode(text)) & set(tokenizer.special.values())


@given(text=texts())
@settings(max_examples=60, deadline=None)
def test_the_bytes_of_the_ids_are_the_bytes_of_the_text(tokenizer, text):
    ids = tokenizer.encode(text)
    assert b"".join(map(tokenizer.token_bytes, ids)) == text.encode()
    assert tokenizer.text_bytes[ids].sum() == len(text.encode())


@given(ids=st.lists(st.integers(0, 300)), skip_special=st.booleans())
@settings(max_examples=100, deadline=None)
def test_streamed_pieces_join_to_what_decoding_at_once_gives(tokenizer, ids, skip_special):
    ids = [*ids, tokenizer.end_of_text, *ids[:1]]
    decoder = tokenizer.stream_decoder(skip_special=skip_special)
    pieces = [decoder.push(number) for number in ids] + [decoder.finish()]
    assert "".join(pieces) == tokenizer.decode(ids, skip_special=skip_special)


def test_a_streamed_character_comes_once_it_is_whole():
    decoder = ByteTokenizer().stream_decoder()
    assert [decoder.push(byte) for byte in "né🚢".encode()] == ["n", "", "é", "", "", "", "🚢"]
    assert decoder.push(0xF0) == ""
    assert decoder.finish() == "\ufffd"


def test_encoding_many_texts_gives_what_each_gives_alone_in_any_number_of_threads(tokenizer):
    several = [*SENTENCES, "", "x" * 5000]
    expected = [tokenizer.encode(text) for text in several]
    for threads in (1, 3):
        found = tokenizer.encode_batch(several, threads=threads)
        assert [ids.tolist() for ids in found] == expected
        assert all(ids.dtype == np.uint32 for ids in found)


def test_a_trained_tokenizer_has_bytes_then_merges_then_special_tokens(tokenizer):
    assert [tokenizer.token_bytes(byte) for byte in range(256)] == [bytes([byte]) for byte in range(256)]
    assert tokenizer.vocab_size == 256 + len(tokenizer._layout.ranks.tokens) - 256 + 6
    first = tokenizer.vocab_size - 6
    assert tokenizer.special == {name: first + place for place, name in enumerate(SPECIAL_TOKENS)}
    assert (tokenizer.end_of_text, tokenizer.pad) == (first, first + 1)


def test_a_vocabulary_of_the_size_asked_for_is_trained():
    rng = random.Random(0)
    text = " ".join("".join(rng.choices("abcdefgh", k=6)) for _ in range(2000))
    assert train_tokenizer([text], vocab_size=500).vocab_size == 500


def test_a_vocabulary_too_small_for_bytes_and_special_tokens_is_refused():
    with pytest.raises(TokenizerError, match="vocab_size = 261 is too small: 256 bytes and 6 special tokens"):
        train_tokenizer(["text"], vocab_size=261)


def test_a_saved_tokenizer_loads_as_the_same_one(tokenizer, tmp_path):
    tokenizer.save(tmp_path)
    for path in (tmp_path, tmp_path / "tokenizer.json"):
        loaded = Tokenizer.load(path)
        assert loaded.sha256 == tokenizer.sha256
        assert loaded.special == tokenizer.special
        assert loaded.encode(SENTENCES[0]) == tokenizer.encode(SENTENCES[0])


def test_the_digest_knows_content_and_not_spacing(tokenizer, tmp_path):
    content = json.loads(tokenizer.save(tmp_path).read_text())
    (tmp_path / "tokenizer.json").write_text(json.dumps(dict(reversed(content.items()))))
    assert Tokenizer.load(tmp_path).sha256 == tokenizer.sha256
    content["model"]["merges"].pop()
    assert Tokenizer(content).sha256 != tokenizer.sha256


def test_transformers_reads_the_saved_file_and_encodes_alike(tokenizer, tmp_path):
    from transformers import PreTrainedTokenizerFast

    theirs = PreTrainedTokenizerFast(tokenizer_file=str(tokenizer.save(tmp_path)))
    for text in SENTENCES:
        assert theirs.encode(text) == tokenizer.encode(text)
        assert theirs.decode(tokenizer.encode(text), clean_up_tokenization_spaces=False) == text


def test_a_lone_surrogate_is_named_with_its_place(tokenizer):
    with pytest.raises(TokenizerError, match=r"holds the lone surrogate U\+D.* at character 2"):
        tokenizer.encode("ab\ud83d")
    with pytest.raises(TokenizerError, match="text 1 holds the lone surrogate"):
        tokenizer.encode_batch(["fine", " " * 200_000 + "\udca2"])


@pytest.mark.parametrize("wrong", [-1, 10_000])
def test_an_id_beyond_the_vocabulary_is_named(tokenizer, wrong):
    with pytest.raises(TokenizerError, match=f"Token id {wrong} is not in the vocabulary"):
        tokenizer.decode([65, wrong])


def test_missing_special_tokens_are_named_and_can_be_added(shared_data):
    gpt2 = Tokenizer.from_gpt2(shared_data / "models")
    with pytest.raises(TokenizerError, match=r"no special token <\|pad\|>; it has: <\|endoftext\|>"):
        _ = gpt2.pad
    more = gpt2.with_special_tokens()
    assert (more.end_of_text, more.pad, more.vocab_size) == (50256, 50257, 50262)
    assert more.encode(SENTENCES[0]) == gpt2.encode(SENTENCES[0])
    assert more.decode([more.special["<|user|>"]]) == "<|user|>"


class TestForeignFiles:
    """Any byte-level tokenizer.json loads, and gives the ids that ``tokenizers`` gives for it."""

    @staticmethod
    def trained(pre_tokenizer, normalizer=None) -> dict:
        engine = tokenizers.Tokenizer(models.BPE())
        engine.pre_tokenizer, engine.decoder = pre_tokenizer, decoders.ByteLevel()
        if normalizer is not None:
            engine.normalizer = normalizer
        trainer = trainers.BpeTrainer(
            vocab_size=500,
            special_tokens=["<s>", "</s>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        engine.train_from_iterator(SENTENCES, trainer)
        return json.loads(engine.to_str())

    @pytest.mark.parametrize(
        ("pre_tokenizer", "normalizer", "by_ranks"),
        [
            (pre_tokenizers.ByteLevel(add_prefix_space=False), None, True),
            (pre_tokenizers.ByteLevel(add_prefix_space=True), None, False),
            (pre_tokenizers.ByteLevel(add_prefix_space=False), normalizers.NFC(), False),
            (
                pre_tokenizers.Sequence(
                    [
                        pre_tokenizers.Digits(individual_digits=True),
                        pre_tokenizers.ByteLevel(add_prefix_space=False),
                    ]
                ),
                None,
                False,
            ),
        ],
        ids=["gpt2-like", "prefix-space", "nfc", "digits"],
    )
    def test_ids_are_those_of_tokenizers(self, pre_tokenizer, normalizer, by_ranks):
        content = self.trained(pre_tokenizer, normalizer)
        ours, theirs = Tokenizer(content), tokenizers.Tokenizer.from_str(json.dumps(content))
        assert (ours._ranks is not None) == by_ranks
        assert (ours.special, ours.end_of_text) == ({"<s>": 0, "</s>": 1}, 1)
        for text in (*SENTENCES, "a </b> e\u0301  x"):
            assert ours.encode(text) == theirs.encode(text).ids
        assert not set(ours.encode("<s></s>")) & {0, 1}

    def test_merges_that_ranks_would_read_differently_are_encoded_by_merges(self, tokenizer):
        content = json.loads(json.dumps(tokenizer._content))
        content["model"]["merges"].reverse()
        ours, theirs = Tokenizer(content), tokenizers.Tokenizer.from_str(json.dumps(content))
        assert ours._ranks is None
        assert ours.encode(SENTENCES[0]) == theirs.encode(SENTENCES[0]).ids

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"model": None}, "holds no model with a vocabulary"),
            ({"model": {"type": "WordPiece", "vocab": {}}}, "holds a WordPiece model; a byte-level BPE"),
            ({"model": {"type": "BPE", "vocab": {"a": 0}}}, "no token for 255 of the 256 bytes"),
            ({"model": {"type": "BPE", "vocab": {}, "dropout": 0.1}}, r"model\.dropout = 0\.1"),
        ],
    )
    def test_what_is_no_byte_level_bpe_is_refused(self, tokenizer, change, message):
        with pytest.raises(TokenizerError, match=message):
            Tokenizer({**tokenizer._content, **change})

    def test_a_file_that_is_missing_or_no_json_is_named(self, tmp_path):
        with pytest.raises(TokenizerError, match=r"There is no tokenizer at .*tokenizer\.json"):
            Tokenizer.load(tmp_path)
        (tmp_path / "tokenizer.json").write_text("{")
        with pytest.raises(TokenizerError, match=r"tokenizer\.json is not JSON"):
            Tokenizer.load(tmp_path)
        with pytest.raises(TokenizerError, match="does not hold GPT-2's files"):
            Tokenizer.from_gpt2(tmp_path)

    @pytest.mark.parametrize(
        ("number", "message"),
        [
            (65, "the token 'ab' has the id 65, which another one has too"),
            (1 << 40, "the token 'ab' has the id 1099511627776; 0 to 16777215 can be"),
            (-1, "has the id -1"),
            ("7", "has the id '7'"),
        ],
    )
    def test_an_id_that_cannot_be_is_named(self, number, message):
        content = ByteTokenizer()._content
        model = {**content["model"], "vocab": {**content["model"]["vocab"], "ab": number}}
        with pytest.raises(TokenizerError, match=message):
            Tokenizer({**content, "model": model})

    def test_a_merge_that_is_no_pair_is_named(self, tokenizer):
        model = {**tokenizer._content["model"], "merges": ["abc"]}
        with pytest.raises(TokenizerError, match="the merge 'abc' is not a pair"):
            Tokenizer({**tokenizer._content, "model": model})


def test_a_file_and_training_settings_together_are_refused():
    with pytest.raises(ValueError, match="so vocab_size would change nothing"):
        TokenizerConfig(path="there", vocab_size=4096)


def test_importing_the_room_and_its_settings_is_light():
    code = (
        "import sys, towpath.tokenizer as t; t.TokenizerConfig(); t.ChatTemplate();"
        "heavy = {'torch', 'tiktoken', 'tokenizers', 'pyarrow', 'daft', 'transformers'} & set(sys.modules);"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_public_name_can_be_imported():
    import towpath.tokenizer as room

    assert all(getattr(room, name) is not None for name in room.__all__)
