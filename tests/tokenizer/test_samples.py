from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from towpath.core.errors import ConfigError
from towpath.tokenizer import Samples

from .doubles import SENTENCES, CorpusDouble, shards_of, texts

CORPUS = CorpusDouble(
    train={"prose": SENTENCES * 5, "code": [SENTENCES[2]] * 4}, validation={"code": SENTENCES}
)


@pytest.fixture(scope="module")
def shards(tmp_path_factory, tokenizer):
    return shards_of(tmp_path_factory.mktemp("home"), CORPUS, tokenizer)


def test_a_sample_is_the_window_that_the_mixture_draws(shards):
    samples = Samples(shards, "train", context_tokens=16, seed=1)
    for index in (0, 5, 10**9):
        draw = samples.draw(index)
        stream = shards.stream("train", draw.source)
        assert samples.ids(index).tolist() == stream.read(draw.window * 16, draw.window * 16 + 17).tolist()
        assert samples.ids(index).shape == (17,)


def test_the_windows_of_an_epoch_hold_every_token_but_a_short_rest(shards):
    samples = Samples(shards, "train", context_tokens=16, seed=1)
    for source, size in samples.sizes.items():
        stream = shards.stream("train", source)
        inputs = {draw.window: samples.ids(index)[:-1] for index, draw in first_epoch(samples, source)}
        assert sorted(inputs) == list(range(size))
        joined = np.concatenate([inputs[window] for window in range(size)])
        assert joined.tolist() == stream.read(0, size * 16).tolist()
        assert 0 < stream.n_tokens - size * 16 <= 16


def first_epoch(samples, source):
    draws = ((index, samples.draw(index)) for index in range(1000))
    return [(index, draw) for index, draw in draws if draw.source == source and draw.epoch == 0]


@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_the_order_is_the_same_for_any_number_of_ranks_and_any_start(shards, ranks):
    """Rank r of n takes the samples r, r + n, ...; a resumed run starts at any index."""
    alone = [Samples(shards, "train", 16, seed=7).ids(index).tolist() for index in range(24)]
    by_rank = [
        [Samples(shards, "train", 16, seed=7).ids(index).tolist() for index in range(rank, 24, ranks)]
        for rank in range(ranks)
    ]
    together = [by_rank[index % ranks][index // ranks] for index in range(24)]
    assert together == alone


@given(
    documents=st.lists(texts(), min_size=1, max_size=6), context=st.integers(1, 40), index=st.integers(0, 500)
)
@settings(max_examples=15, deadline=None)
def test_spans_cover_a_window_and_their_bytes_are_those_of_its_tokens(
    tmp_path_factory, tokenizer, documents, context, index
):
    corpus = CorpusDouble({"a": [*documents, "x" * 50 + "🚢🚢"]})
    samples = Samples(
        shards_of(tmp_path_factory.mktemp("h"), corpus, tokenizer), "train", context, seed=index
    )
    found = {document.id: document.text for document in corpus.iterate("train", "a")}
    ids = samples.ids(index)
    position = 0
    for span in samples.provenance(index):
        assert span.tokens[0] == position
        position = span.tokens[1]
        text = [number for number in ids[slice(*span.tokens)] if number != tokenizer.end_of_text]
        expected = found[span.document_id].encode()[slice(*span.bytes)]
        assert b"".join(map(tokenizer.token_bytes, text)) == expected
        assert span.source == "a"
    assert position == len(ids) == context + 1


def test_given_weights_replace_those_of_the_shards(shards):
    samples = Samples(shards, "train", 16, seed=0, weights={"prose": 1, "code": 0})
    assert {samples.draw(index).source for index in range(100)} == {"prose"}


def test_a_source_shorter_than_one_window_is_named(shards):
    with pytest.raises(ConfigError, match=r"'code' has 88 tokens .* 401\..*model\.n_positions = 87"):
        Samples(shards, "train", context_tokens=400, seed=0)
