"""Perplexity and bits per byte, against models whose figures are known."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from towpath.core.errors import DataError
from towpath.evaluate.perplexity import Perplexity, Score
from towpath.model.config import GPT2Config
from towpath.model.decoder import Decoder, build
from towpath.tokenizer import ByteTokenizer

TOKENIZER = ByteTokenizer()
CONTEXT = 16


class Stream:
    """A stream in memory: texts as bytes, each closed by the end-of-text token."""

    def __init__(self, *texts: str) -> None:
        parts = [[*TOKENIZER.encode(text), TOKENIZER.end_of_text] for text in texts]
        self.ids = np.array([token for part in parts for token in part], dtype=np.int64)
        self.n_tokens = len(self.ids)

    def read(self, start: int, stop: int) -> np.ndarray:
        return self.ids[start:stop]


def shards(**streams: Stream) -> SimpleNamespace:
    return SimpleNamespace(
        sources=lambda split: list(streams),
        stream=lambda split, source: streams[source],
        weights=dict.fromkeys(streams, 1.0),
    )


def uniform() -> Decoder:
    """A model that finds every token equally likely."""
    model = build(GPT2Config(n_positions=CONTEXT, n_embd=8, n_layer=1, n_head=1).for_tokenizer(262))
    with torch.no_grad():
        model.final_norm.weight.zero_()
        model.final_norm.bias.zero_()
    return model.eval()


def perplexity(**streams: Stream) -> Perplexity:
    return Perplexity(shards(**streams), TOKENIZER, CONTEXT)  # pyright: ignore


@pytest.mark.parametrize("length", [3, 15, 16, 17, 32, 33, 200])
def test_a_uniform_model_has_the_vocabulary_as_perplexity(length: int) -> None:
    score = perplexity(one=Stream("a" * length)).score(uniform())["one"]
    rows = uniform().config.vocab_size
    assert score.tokens == length - 1  # the first is given, the end of the text is not scored
    assert score.bytes == length - 1
    assert score.perplexity == pytest.approx(rows, rel=1e-4)
    assert score.bits_per_byte == pytest.approx(math.log2(rows), rel=1e-4)


def test_the_batch_size_does_not_change_the_score() -> None:
    model = build(GPT2Config(n_positions=CONTEXT, n_embd=16, n_layer=2, n_head=2).for_tokenizer(262)).eval()
    stream = Stream("the quick brown fox jumps over the lazy dog. " * 9, "once more, with feeling")
    one, many = (perplexity(one=stream).score(model, size)["one"] for size in (1, 7))
    assert one.nats == pytest.approx(many.nats, rel=1e-5)
    assert (one.tokens, one.bytes) == (many.tokens, many.bytes)


def test_ends_of_documents_are_not_scored() -> None:
    score = perplexity(one=Stream("ab", "cd", "ef")).score(uniform())["one"]
    assert score.bytes == 5  # six letters, the first of the window is given
    assert score.tokens == 5


def test_at_most_max_tokens_are_read() -> None:
    score = perplexity(one=Stream("a" * 500)).score(uniform(), max_tokens=40)["one"]
    assert score.tokens == 40


def test_metrics_weigh_the_sources_as_the_mixture_does() -> None:
    measure = perplexity(one=Stream("a" * 50), two=Stream("b" * 50))
    measure.shards.weights.update(one=3.0, two=1.0)
    figures = measure.metrics({"one": Score(10.0, 10, 10), "two": Score(20.0, 10, 10)})
    assert figures["validation/loss"] == pytest.approx((3 * 1 + 1 * 2) / 4)
    assert figures["validation/two/bits_per_byte"] == pytest.approx(2 / math.log(2))


def test_an_empty_split_is_refused() -> None:
    with pytest.raises(DataError, match=r"The validation split holds no tokens"):
        perplexity().score(uniform())
