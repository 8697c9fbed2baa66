from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from towpath.core.errors import ConfigError, ModelError
from towpath.model import GPT2Config, build, generate_text, stream_text, text, text_steps
from towpath.model.config import SamplingConfig
from towpath.model.decoder import Decoder
from towpath.model.text import StopStrings
from towpath.tokenizer import ByteTokenizer

TOKENIZER = ByteTokenizer()
SAMPLING = SamplingConfig(max_new_tokens=50)


@pytest.fixture(scope="module")
def byte_model() -> Decoder:
    config = GPT2Config(n_positions=64, n_embd=16, n_layer=1, n_head=2).for_tokenizer(TOKENIZER.vocab_size)
    return build(config, seed=0).eval()


@pytest.fixture
def says(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """What the model answers, whatever it is asked."""
    answer: list[int] = []

    def generate(
        model: object, ids: Sequence[int], sampling: SamplingConfig, *, vocab_size: int
    ) -> Iterator[int]:
        for token in answer[: sampling.max_new_tokens]:
            yield token
            if token in sampling.stop_ids:
                return

    monkeypatch.setattr(text, "generate", generate)
    return answer


def pieces(byte_model: Decoder, stop: Sequence[str] = (), sampling: SamplingConfig = SAMPLING) -> list[str]:
    return list(stream_text(byte_model, TOKENIZER, "hi", sampling, stop))


def test_the_specification_s_call_gives_the_prompt_and_what_follows(byte_model: Decoder) -> None:
    made = generate_text(byte_model, TOKENIZER, "The future", max_length=30, temperature=0.8)
    assert made.startswith("The future")
    assert generate_text(byte_model, TOKENIZER, "The future", 30, seed=1) == generate_text(
        byte_model, TOKENIZER, "The future", 30, seed=1
    )


def test_max_length_counts_the_prompt(byte_model: Decoder, says: list[int]) -> None:
    says += TOKENIZER.encode("abcdefgh" * 20)
    assert generate_text(byte_model, TOKENIZER, "12345", max_length=8) == "12345abc"
    with pytest.raises(ModelError, match=r"prompt has \d+ tokens and the model's context \d+: no room"):
        generate_text(byte_model, TOKENIZER, "a" * 500)
    with pytest.raises(ModelError, match=r"max_length = 5 counts the prompt, which has 5 tokens. Try 64"):
        generate_text(byte_model, TOKENIZER, "12345", max_length=5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_length": -1}, "max_length = -1 is not between 1 and 1,000,000 tokens"),
        ({"max_length": 10**9}, "max_length = 1000000000 is not between"),
        ({"temperature": -1.0}, "generate_text: temperature = -1.0: input should be greater than"),
        ({"temperature": float("nan")}, "generate_text: temperature = nan: input should be a finite number"),
        ({"top_q": 1}, "unknown field 'top_q'. Did you mean 'top_"),
    ],
)
def test_settings_that_cannot_be_are_named(byte_model: Decoder, settings: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        generate_text(byte_model, TOKENIZER, "hi", **settings)


def test_a_prompt_beyond_the_context_is_refused_with_both_numbers(byte_model: Decoder) -> None:
    with pytest.raises(ModelError, match="The prompt has 80 tokens and the model's context holds 64"):
        generate_text(byte_model, TOKENIZER, "x" * 80, max_length=200)


def test_an_empty_prompt_begins_a_new_text(byte_model: Decoder) -> None:
    assert text.encode_prompt(TOKENIZER, "") == [TOKENIZER.end_of_text]
    assert list(stream_text(byte_model, TOKENIZER, "", SamplingConfig(max_new_tokens=3, seed=0)))


def test_pieces_are_whole_characters(byte_model: Decoder, says: list[int]) -> None:
    says += TOKENIZER.encode("aé漢🙂b")
    assert pieces(byte_model) == ["a", "é", "漢", "🙂", "b"]


def test_a_character_cut_off_at_the_end_is_a_replacement_character(
    byte_model: Decoder, says: list[int]
) -> None:
    says += TOKENIZER.encode("a漢")[:-1]
    assert pieces(byte_model) == ["a", "\ufffd"]


def test_the_end_of_text_ends_it_and_does_not_show(byte_model: Decoder, says: list[int]) -> None:
    says += [*TOKENIZER.encode("ab"), TOKENIZER.end_of_text, *TOKENIZER.encode("c")]
    steps = list(text_steps(byte_model, TOKENIZER, "hi", SAMPLING))
    assert [step.text for step in steps] == ["a", "b", ""]
    assert [step.finish_reason for step in steps] == [None, None, "stop"]


def test_own_stop_tokens_replace_the_end_of_text(byte_model: Decoder, says: list[int]) -> None:
    end = TOKENIZER.special["<|end|>"]
    says += [
        *TOKENIZER.encode("ab"),
        TOKENIZER.end_of_text,
        *TOKENIZER.encode("c"),
        end,
        *TOKENIZER.encode("d"),
    ]
    sampling = SAMPLING.model_copy(update={"stop_ids": (end,)})
    assert pieces(byte_model, sampling=sampling) == ["a", "b", "c"]


def test_running_out_of_tokens_is_length(byte_model: Decoder, says: list[int]) -> None:
    says += TOKENIZER.encode("abcdef")
    steps = list(text_steps(byte_model, TOKENIZER, "hi", SamplingConfig(max_new_tokens=3)))
    assert [(step.text, step.finish_reason) for step in steps] == [("a", None), ("b", None), ("c", "length")]


def test_a_stop_string_across_tokens_ends_the_text_before_it(byte_model: Decoder, says: list[int]) -> None:
    says += TOKENIZER.encode("one\n\ntwo\n\nthree")
    assert "".join(pieces(byte_model, stop=["\n\nth", "zzz"])) == "one\n\ntwo"
    steps = list(text_steps(byte_model, TOKENIZER, "hi", SAMPLING, stop=["e\n"]))
    assert "".join(step.text for step in steps) == "on"
    assert [step.finish_reason for step in steps] == [None, None, None, "stop"]


def test_what_only_began_a_stop_string_is_given_out(byte_model: Decoder, says: list[int]) -> None:
    says += TOKENIZER.encode("abc</")
    assert "".join(pieces(byte_model, stop=["</s>"])) == "abc</"
    says += [TOKENIZER.end_of_text]
    assert "".join(pieces(byte_model, stop=["</s>"])) == "abc</"


def test_a_stop_string_may_be_inside_a_character_s_last_token(byte_model: Decoder, says: list[int]) -> None:
    says += TOKENIZER.encode("a漢b")
    assert "".join(pieces(byte_model, stop=["漢"])) == "a"


@given(
    st.lists(st.text("ab", max_size=4), max_size=12),
    st.lists(st.text("ab", min_size=1, max_size=4), max_size=3),
)
def test_stop_strings_cut_a_stream_as_they_cut_the_whole_text(parts: list[str], stop: list[str]) -> None:
    stops = StopStrings(stop)
    given_out = "".join(stops.push(part) for part in parts) + stops.finish()
    whole = "".join(parts)
    ends = [whole.index(text) + len(text) for text in stop if text in whole]
    if not ends:
        assert given_out == whole
        return
    assert stops.found
    assert whole.startswith(given_out)
    assert not any(text in given_out for text in stop)
