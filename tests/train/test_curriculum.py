"""Curricula: another order of the same samples, a pure function of the index; a run resumes exactly."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from pyarrow import parquet

from tests.tokenizer.doubles import CorpusDouble, shards_of
from tests.train.conftest import assert_same, stage, train_config, weights
from tests.train.test_resume import Killed, kill_at
from towpath.core.errors import ConfigError, DataError, TrainError
from towpath.model.config import GPT2Config
from towpath.model.decoder import build
from towpath.tokenizer import Samples
from towpath.tokenizer.order import BLOCK_SLOTS, Mixture
from towpath.tokenizer.phases import PhasedMixture
from towpath.train.checkpoint import Loaded
from towpath.train.curriculum import CURRICULA
from towpath.train.curriculum.difficulty import DifficultyConfig, compression, readability
from towpath.train.curriculum.domains import DomainsConfig
from towpath.train.curriculum.length import LengthConfig
from towpath.train.curriculum.losses import write_losses
from towpath.train.curriculum.reordered import paced_order
from towpath.train.pretrain import token_batches
from towpath.train.stage import run_stage

CONTEXT = 16
EASY = "aaaa bbbb aaaa bbbb. " * 12
HARD = "Antidisestablishmentarianism notwithstanding, xqzj 7f3k9 vbn2 heterogeneous " * 4
CORPUS = {
    "prose": [text + str(number) for number in range(12) for text in (EASY, HARD)],
    "code": [f"def f{number}(x):\n    return x + {number}\n" for number in range(20)],
}


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory):
    return shards_of(tmp_path_factory.mktemp("home"), CorpusDouble(CORPUS))


@pytest.fixture
def samples(shards) -> Samples:
    return Samples(shards, "train", CONTEXT, seed=3)


@pytest.mark.parametrize(
    "config", [LengthConfig(), DifficultyConfig(), DifficultyConfig(by="readability", reverse=True)]
)
def test_a_sorted_run_sees_just_the_samples_of_one_without(samples: Samples, config: LengthConfig) -> None:
    arranged = config.arranged(samples, 300, seed=3)
    assert sorted(arranged.order) == list(range(300))
    place = int(arranged.order[7])
    assert np.array_equal(arranged.ids(7), samples.ids(place))
    assert arranged.draw(7) == samples.draw(place)
    assert arranged.provenance(7) == samples.provenance(place)


def test_easy_samples_come_first_and_hard_ones_when_the_run_can_read_them() -> None:
    scores = np.random.default_rng(1).permutation(1000)
    order = paced_order(scores, seed=5, pace_share=0.5, start_share=0.1)
    quantiles = scores[order] / 1000
    assert sorted(order) == list(range(1000))
    for place, quantile in enumerate(quantiles):
        competence = (min(place / 1000 / 0.5, 1.0) * (1 - 0.1**2) + 0.1**2) ** 0.5
        assert quantile <= competence
    assert quantiles[100:200].max() > 0.4
    assert quantiles[-400:].min() < 0.1
    assert np.array_equal(order, paced_order(scores, seed=5, pace_share=0.5, start_share=0.1))
    assert not np.array_equal(order, paced_order(scores, seed=6, pace_share=0.5, start_share=0.1))


def test_readability_is_the_automated_readability_index() -> None:
    assert readability("The cat sat. It ran.") == pytest.approx(4.71 * 14 / 5 + 0.5 * 5 / 2 - 21.43)
    assert readability("") == 0
    assert readability(EASY) < readability(HARD)


def test_compression_tells_repetition_from_noise() -> None:
    assert compression(EASY) < 0.3 < compression("xq7Rz0pLw9")
    assert compression("") == 0


def test_by_length_windows_of_short_documents_come_first(samples: Samples) -> None:
    arranged = LengthConfig(pace_share=1.0).arranged(samples, 400, seed=3)
    lengths = [samples.document_tokens(int(place)) for place in arranged.order]
    assert np.mean(lengths[:40]) < 0.5 * np.mean(lengths[-40:])
    start, stop = 5 * CONTEXT, 5 * CONTEXT + CONTEXT + 1
    stream = samples._streams["code"]
    expected = []
    for position in range(start, stop):
        first, last = stream.document_range(stream.document_at(position).ordinal)
        expected.append(last - first)
    index = next(i for i in range(5000) if samples.draw(i)[::2] == ("code", 5))
    assert samples.document_tokens(index) == pytest.approx(np.mean(expected))


def test_a_column_is_the_mean_score_of_a_window_s_documents(samples: Samples, tmp_path: Path) -> None:
    ids = [f"train-{source}-{n}" for source, texts in CORPUS.items() for n in range(len(texts))]
    path = tmp_path / "scores.parquet"
    parquet.write_table(pa.table({"id": ids, "score": [float(n) for n in range(len(ids))]}), path)
    config = DifficultyConfig(by="column", path=str(path))
    spans = samples.provenance(11)
    tokens = [span.tokens[1] - span.tokens[0] for span in spans]
    scores = [ids.index(span.document_id) for span in spans]
    assert config.score(samples, 11) == pytest.approx(np.average(scores, weights=tokens))
    parquet.write_table(pa.table({"id": ids[:1], "score": [0.0]}), path)
    with pytest.raises(DataError, match="has no score of the document 'train-"):
        DifficultyConfig(by="column", path=str(path)).arranged(samples, 50, seed=3)
    with pytest.raises(ValueError, match="belong together"):
        DifficultyConfig(by="column")


def test_losses_of_a_small_model_are_a_column(samples: Samples, tmp_path: Path) -> None:
    tokenizer = samples.tokenizer
    config = GPT2Config(n_positions=CONTEXT, n_embd=16, n_layer=1, n_head=2).for_tokenizer(
        tokenizer.vocab_size
    )
    small = Loaded(build(config, seed=0).eval(), tokenizer, None, config, "id", "small")
    documents = [(f"train-{source}-{n}", text) for source in CORPUS for n, text in enumerate(CORPUS[source])]
    path = tmp_path / "losses.parquet"
    assert write_losses(path, small, [*documents, ("short", "a")]) == len(documents) + 1
    column = DifficultyConfig(by="column", path=str(path))
    ids = torch.tensor([tokenizer.encode(documents[5][1])[:CONTEXT]])
    logits = small.model(ids).logits[0, :-1].detach()
    expected = float(torch.nn.functional.cross_entropy(logits, ids[0, 1:]))
    assert column.column[documents[5][0]] == pytest.approx(expected, rel=1e-5)
    assert column.column["short"] == 0
    arranged = column.arranged(samples, 50, seed=3)
    scores = [column.score(samples, int(place)) for place in arranged.order]
    assert np.mean(scores[:10]) < np.mean(scores[-10:])


def test_the_order_is_made_once_for_all_starts(
    samples: Samples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = DifficultyConfig().arranged(samples, 100, 3, tmp_path)
    monkeypatch.setattr(DifficultyConfig, "score", None)
    again = DifficultyConfig().arranged(samples, 100, 3, tmp_path)
    assert np.array_equal(first.order, again.order)
    with pytest.raises(TrainError, match="Sample 100 was asked for; the curriculum was made for 100"):
        again.ids(100)


def test_one_phase_is_the_mixture_itself() -> None:
    sizes, shares = {"a": 700, "b": 90}, {"a": 3.0, "b": 1.0}
    mixture, phased = Mixture(sizes, shares, 4), PhasedMixture(sizes, [(0, shares)], 4)
    assert [mixture[i] for i in range(9000)] == [phased[i] for i in range(9000)]


def test_each_window_is_seen_once_before_any_again_whatever_the_phases() -> None:
    sizes = {"a": 300, "b": 500}
    phases = [
        (0, {"a": 1, "b": 1}),
        (123, {"a": 5, "b": 1}),
        (1000, {"a": 0, "b": 1}),
        (6000, {"a": 1, "b": 1}),
    ]
    phased = PhasedMixture(sizes, phases, 9)
    draws = [phased[i] for i in range(12000)]
    for name, size in sizes.items():
        own = [draw for draw in draws if draw.source == name]
        for epoch in range(len(own) // size):
            part = own[epoch * size : (epoch + 1) * size]
            assert {draw.epoch for draw in part} == {epoch}
            assert len({draw.window for draw in part}) == size
    assert [phased[i] for i in (11999, 5, 6001, 122)] == [draws[i] for i in (11999, 5, 6001, 122)]


def test_a_phase_has_its_own_shares() -> None:
    phased = PhasedMixture({"a": 50, "b": 50}, [(0, {"a": 1, "b": 0}), (BLOCK_SLOTS, {"a": 1, "b": 3})], 1)
    first = Counter(phased[i].source for i in range(BLOCK_SLOTS))
    second = Counter(phased[i].source for i in range(BLOCK_SLOTS, 2 * BLOCK_SLOTS))
    assert first == {"a": BLOCK_SLOTS}
    assert second == {"a": BLOCK_SLOTS // 4, "b": 3 * BLOCK_SLOTS // 4}


def test_counts_are_those_of_drawing_one_by_one() -> None:
    mixture = Mixture({"a": 10, "b": 20, "c": 5}, {"a": 1, "b": 2, "c": 0}, 1)
    for samples in (0, 1, 777, BLOCK_SLOTS, BLOCK_SLOTS + 5):
        drawn = Counter(mixture[i].source for i in range(samples))
        assert [mixture.count(name, samples) for name in "abc"] == [drawn[name] for name in "abc"]


def test_domains_follow_their_schedule(samples: Samples) -> None:
    config = DomainsConfig.model_validate(
        {"phases": [{"weights": {"prose": 1}}, {"from_share": 0.5, "weights": {"code": 1}}]}
    )
    arranged = config.arranged(samples, 200, seed=3)
    assert {arranged.draw(i).source for i in range(100)} == {"prose"}
    assert {arranged.draw(i).source for i in range(100, 200)} == {"code"}
    assert sorted(arranged.sources) == ["code", "prose"]


@pytest.mark.parametrize(
    ("phases", "message"),
    [
        ([{"weights": {"proze": 1}}], "no source 'proze'; the tokens have code, prose.*Did you mean 'prose'"),
        ([{"from_share": 0.5, "weights": {"code": 1}}], r"from_share = \[0.5\].*Try \[0.0\]"),
        (
            [{"weights": {"code": 1}}, {"weights": {"prose": 1}}],
            r"from_share = \[0.0, 0.0\].*Try \[0.0, 0.5\]",
        ),
        (
            [{"weights": {"code": 1}}, {"from_share": 0.001, "weights": {"prose": 1}}],
            r"begin at samples \[0, 0\]; give 0",
        ),
    ],
)
def test_a_schedule_that_can_not_be_meant_is_refused(samples: Samples, phases: list, message: str) -> None:
    with pytest.raises((ConfigError, ValueError), match=message):
        DomainsConfig.model_validate({"phases": phases}).arranged(samples, 100, seed=3)


@pytest.mark.parametrize(
    "curriculum",
    [
        {"type": "difficulty"},
        {"type": "length"},
        {
            "type": "domains",
            "phases": [{"weights": {"prose": 1}}, {"from_share": 0.4, "weights": {"code": 1}}],
        },
    ],
    ids=lambda table: table["type"],
)
def test_killed_and_resumed_with_a_curriculum_equals_uninterrupted(
    shards, tmp_path: Path, curriculum: dict
) -> None:
    config = train_config(curriculum=curriculum, max_steps=8, batch_size=2)
    size = shards.tokenizer.vocab_size
    settings = GPT2Config(vocab_size=size, n_positions=CONTEXT, n_embd=16, n_layer=1, n_head=2)

    def staged(folder: Path):
        one = stage(folder, config)
        one.batches = token_batches(shards, config, CONTEXT, 3, folder)
        return one

    whole, resumed = build(settings, seed=1), build(settings, seed=1)
    run_stage(staged(tmp_path / "whole"), whole)
    one = staged(tmp_path / "one")
    kill_at(one, 6)
    with pytest.raises(Killed):
        run_stage(one, build(settings, seed=1))
    run_stage(staged(tmp_path / "one"), resumed)
    assert_same(weights(whole), weights(resumed))
    assert staged(tmp_path / "whole").batches.source_names


def test_every_curriculum_is_chosen_by_its_name() -> None:
    phases = {"phases": [{"weights": {"prose": 1}}]}
    for name in CURRICULA.names():
        config = train_config(curriculum={"type": name, **(phases if name == "domains" else {})})
        assert config.curriculum.type == name
