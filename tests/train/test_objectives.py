"""Objectives: every example depends on ids, index and seed alone, and holds as many targets as said."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from tests.train.conftest import NumberedSamples, stage, train_config
from towpath.core.errors import ConfigError
from towpath.core.metrics import read_log
from towpath.model.config import GPT2Config, ModernConfig, TransformerConfig
from towpath.model.encoder_config import BertConfig
from towpath.model.encoder_decoder_config import T5Config
from towpath.model.language_model import LanguageModel, build
from towpath.recipes.run_config import RunConfig
from towpath.tokenizer import ByteTokenizer, Tokenizer, train_tokenizer
from towpath.train.batches import IGNORED, TokenBatches
from towpath.train.objectives import OBJECTIVES, Examples, ObjectiveConfig, check_fits
from towpath.train.objectives.masked import MASK, MaskedConfig, MaskedExamples, first_that_fit
from towpath.train.objectives.prefix_lm import PrefixConfig
from towpath.train.objectives.span_corruption import SpanCorruptionConfig, noise_mask
from towpath.train.stage import run_stage

SIZES: dict[str, Any] = {
    "vocab_size": 384,
    "n_positions": 17,
    "n_embd": 32,
    "n_layer": 1,
    "n_head": 4,
    "dropout": 0.0,
}
TEXT = "the unbelievable story of a lighthouse keeper who counted every ship, twice; and wrote it down. "


@pytest.fixture(scope="module")
def words() -> Tokenizer:
    return train_tokenizer([TEXT * 3, "unbelief unbearable belief believable"], 330)


def made(name: str, seed: int = 3) -> tuple[Examples, Tokenizer]:
    objective = OBJECTIVES.load(name)()
    assert isinstance(objective, ObjectiveConfig)
    tokenizer = objective.tokenizer(ByteTokenizer())
    return objective.examples(tokenizer, seed), tokenizer


def windows(n: int = 6, n_ids: int = 60) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (n, n_ids))


@pytest.mark.parametrize("name", OBJECTIVES.names())
def test_an_example_depends_on_its_ids_its_index_and_the_seed_alone(name: str) -> None:
    ids = windows()
    together = made(name)[0].arrays(ids, range(40, 46))
    backwards = made(name)[0].arrays(ids[::-1], range(45, 39, -1))
    assert together.keys() == backwards.keys()
    for key, value in together.items():
        assert np.array_equal(value, backwards[key][::-1]), key


@pytest.mark.parametrize("name", [name for name in OBJECTIVES.names() if name != "causal"])
def test_another_index_or_seed_gives_another_example(name: str) -> None:
    ids = np.repeat(windows(1), 8, axis=0)
    first = made(name, 3)[0].arrays(ids, range(8))
    assert not all(np.array_equal(first["labels"][0], row) for row in first["labels"])
    other = made(name, 4)[0].arrays(ids, range(8))
    assert not np.array_equal(first["labels"], other["labels"])


@pytest.mark.parametrize("name", OBJECTIVES.names())
@pytest.mark.parametrize("n_ids", [2, 7, 60, 333])
def test_the_number_of_targets_is_known_before(name: str, n_ids: int) -> None:
    examples, _ = made(name)
    for index, ids in enumerate(windows(12, n_ids)):
        labels = examples.arrays(ids[None], [index])["labels"]
        shifted = labels[:, 1:] if name == "causal" else labels
        assert int((shifted != IGNORED).sum()) == examples.targets(index, n_ids)


@pytest.mark.parametrize("name", OBJECTIVES.names())
@pytest.mark.parametrize("ranks", [2, 4])
def test_any_number_of_ranks_sees_the_same_examples(name: str, ranks: int) -> None:
    examples, _ = made(name)
    alone = TokenBatches(NumberedSamples(), 2, 4, examples=examples)
    for step in (0, 5):
        expected = alone.batch(step)
        parts = [
            TokenBatches(NumberedSamples(), 2, 4 // ranks, rank, ranks, examples).batch(step)
            for rank in range(ranks)
        ]
        assert {part.target_tokens for part in parts} == {expected.target_tokens}
        together = [micro for group in zip(*(p.micro_batches for p in parts), strict=True) for micro in group]
        for left, right in zip(together, expected.micro_batches, strict=True):
            assert all(torch.equal(left[key], right[key]) for key in right)


def test_causal_batches_are_windows_as_they_are() -> None:
    batch = TokenBatches(NumberedSamples(), 2, 3).batch(4)
    ids = torch.from_numpy(np.stack([NumberedSamples().ids(index) for index in range(24, 26)]))
    assert torch.equal(batch.micro_batches[0]["input_ids"], ids)
    assert torch.equal(batch.micro_batches[0]["labels"], ids)
    assert batch.target_tokens == 6 * 16


def test_eighty_ten_ten() -> None:
    examples, tokenizer = made("masked")
    ids = windows(400, 100)
    arrays = examples.arrays(ids, range(400))
    hidden = arrays["labels"] != IGNORED
    assert np.array_equal(arrays["labels"][hidden], ids[hidden])
    assert np.array_equal(arrays["input_ids"][~hidden], ids[~hidden])
    shown = arrays["input_ids"][hidden]
    masked, kept = shown == tokenizer.special[MASK], shown == ids[hidden]
    assert masked.mean() == pytest.approx(0.8, abs=0.02)
    assert kept.mean() == pytest.approx(0.1, abs=0.015)
    assert (~masked & ~kept).mean() == pytest.approx(0.1, abs=0.015)
    assert shown[~masked].max() < 256  # a replacement is text, never a special token
    assert hidden.mean() == pytest.approx(0.15)


def test_words_are_hidden_whole_or_not_at_all(words: Tokenizer) -> None:
    objective = MaskedConfig()
    tokenizer = objective.tokenizer(words)
    examples = objective.examples(tokenizer, 0)
    assert isinstance(examples, MaskedExamples)
    ids = np.array(tokenizer.encode(TEXT))
    pieces = [tokenizer.token_bytes(i).decode() for i in ids]
    number = examples.words(ids)
    grouped = [
        "".join(piece for piece, at in zip(pieces, number, strict=True) if at == n)
        for n in range(number[-1] + 1)
    ]
    assert [word.strip() for word in grouped][:6] == ["the", "unbelievable", "story", "of", "a", "lighthouse"]
    assert "ship" in {word.strip() for word in grouped}
    assert max(np.bincount(number)) > 1
    for index in range(50):
        hidden = examples.arrays(ids[None], [index])["labels"][0] != IGNORED
        cut = [n for n in range(number[-1] + 1) if 0 < hidden[number == n].sum() < (number == n).sum()]
        assert len(cut) <= 1


def test_tokens_are_hidden_one_by_one_when_asked(words: Tokenizer) -> None:
    examples = MaskedConfig(whole_words=False).examples(MaskedConfig().tokenizer(words), 0)
    assert isinstance(examples, MaskedExamples)
    assert np.array_equal(examples.words(np.array(words.encode(TEXT))), np.arange(len(words.encode(TEXT))))


def test_a_letter_beyond_ascii_does_not_begin_a_word() -> None:
    examples, tokenizer = made("masked")
    assert isinstance(examples, MaskedExamples)
    ids = np.array(tokenizer.encode("né à 2x, so"))
    number = examples.words(ids).tolist()
    assert number[:3] == [0, 0, 0]  # n and the two bytes of é
    assert number[-1] == 7  # né, space, à, space, 2x, comma, space, so: a space alone is a token here


def test_special_tokens_are_hidden_last() -> None:
    examples, tokenizer = made("masked")
    ids = np.full((1, 40), tokenizer.end_of_text)
    ids[0, 5:25] = 97
    for index in range(30):
        labels = examples.arrays(ids, [index])["labels"]
        assert set(labels[labels != IGNORED].tolist()) == {97}


def test_room_is_filled_in_order_and_then_with_a_part() -> None:
    assert first_that_fit(np.array([3, 1, 2]), 4) == [(0, 3), (1, 1)]
    assert first_that_fit(np.array([3, 5, 2]), 5) == [(0, 3), (2, 2)]
    assert first_that_fit(np.array([5, 6]), 4) == [(0, 4)]


def test_a_cut_text_and_its_answer_make_the_text_again() -> None:
    examples, tokenizer = made("span_corruption")
    marks = [tokenizer.special[f"<extra_id_{i}>"] for i in range(100)]
    for index, ids in enumerate(windows(20, 100)):
        arrays = examples.arrays(ids[None], [index])
        source, answer = arrays["input_ids"][0].tolist(), arrays["labels"][0].tolist()
        assert source.pop() == answer.pop() == tokenizer.end_of_text
        assert source[0] not in marks
        spans: dict[int, list[int]] = {}
        for token in answer:
            if token in marks:
                spans[token] = []
            else:
                spans[list(spans)[-1]].append(token)
        assert list(spans) == marks[: len(spans)] == [token for token in source if token in marks]
        assert [t for token in source for t in spans.get(token, [token])] == ids.tolist()
        assert sum(map(len, spans.values())) == 15
        assert len(spans) == 5


def test_sentinels_come_down_from_the_top_of_the_vocabulary() -> None:
    tokenizer = SpanCorruptionConfig().tokenizer(ByteTokenizer())
    assert tokenizer.special["<extra_id_0>"] == tokenizer.vocab_size - 1
    assert tokenizer.special["<extra_id_99>"] == tokenizer.vocab_size - 100 == ByteTokenizer().vocab_size
    assert tokenizer.encode(TEXT) == ByteTokenizer().encode(TEXT)


def test_a_window_of_t5_is_as_long_as_in_the_released_code() -> None:
    """compute_input_and_target_lengths(512, 0.15, 3.0) of the T5 code gives 568 and 114."""
    objective = SpanCorruptionConfig()
    assert objective.window_ids(512) == 568
    examples = objective.examples(objective.tokenizer(ByteTokenizer()), 0)
    arrays = examples.arrays(windows(1, 568), [0])
    assert (arrays["input_ids"].shape, arrays["labels"].shape) == ((1, 512), (1, 114))


def test_noise_masks_are_those_of_random_spans_noise_mask() -> None:
    """Spans begin after text, end the window, and are cut evenly: each way as likely as any other."""
    random = np.random.default_rng(0)
    masks = [noise_mask(10, 3, 2, random) for _ in range(3000)]
    assert all(mask.sum() == 3 and not mask[0] and mask[-1] for mask in masks)
    assert all(np.diff(mask.astype(int), prepend=0).clip(0).sum() == 2 for mask in masks)
    ways = np.unique(np.stack(masks), axis=0, return_counts=True)[1]
    assert len(ways) == 2 * 6  # 3 tokens into 2 spans, times 7 tokens into 2 stretches
    assert ways.min() > 3000 / 12 * 0.75


def test_too_few_sentinels_are_refused_with_a_number_that_works() -> None:
    with pytest.raises(
        ConfigError, match=r"568 tokens has 28 spans, but .*sentinels = 10\. Try sentinels = 28"
    ):
        SpanCorruptionConfig(sentinels=10).window_ids(512)


def test_prefixes_have_any_length_and_are_not_learned() -> None:
    examples = PrefixConfig().examples(ByteTokenizer(), 0)
    ids = windows(300, 12)
    arrays = examples.arrays(ids, range(300))
    lengths = arrays["prefix_tokens"]
    assert set(lengths.tolist()) == set(range(1, 12))
    learned = arrays["labels"] != IGNORED
    assert np.array_equal(learned, np.arange(12) >= lengths[:, None])


@pytest.mark.parametrize("section", [GPT2Config, ModernConfig])
def test_a_prefix_sees_itself_and_no_further(section: type[TransformerConfig]) -> None:
    model = build(section(vocab_size=50, n_positions=12, n_embd=16, n_layer=2, n_head=2), seed=1).eval()
    ids = torch.arange(10).unsqueeze(0) + 3

    def states(changed: int, prefix: int) -> torch.Tensor:
        other = ids.clone()
        other[0, changed] = 40
        with torch.no_grad():
            before = model.trunk(ids, prefix_tokens=torch.tensor([prefix]))
            after = model.trunk(other, prefix_tokens=torch.tensor([prefix]))
        return (before - after).abs().amax(-1)[0] > 0

    assert states(changed=4, prefix=5).all()  # the first token sees the fifth
    assert not states(changed=5, prefix=5)[:5].any()  # none before it sees the sixth
    with torch.no_grad():
        causal, one = model.trunk(ids), model.trunk(ids, prefix_tokens=torch.tensor([1]))
    torch.testing.assert_close(causal, one, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("objective", "model", "text"),
    [
        (
            "causal",
            BertConfig(),
            "'causal' cannot train model.type = 'bert', which is an encoder. Try .*'masked'",
        ),
        ("causal", T5Config(), "which is an encoder-decoder. Try objective = { type = 'span_corruption' }"),
        ("masked", GPT2Config(), "which is a decoder. Try .*'causal'.*; all that fit: causal, prefix_lm"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_does(
    objective: str, model: TransformerConfig, text: str
) -> None:
    section = OBJECTIVES.load(objective)()
    assert isinstance(section, ObjectiveConfig)
    with pytest.raises(ConfigError, match=text):
        check_fits(section, model)
    tree = {
        "name": "x",
        "data": {"sources": []},
        "model": model.model_dump(),
        "train": {"objective": {"type": objective}},
    }
    with pytest.raises(ValueError, match=text):
        RunConfig.model_validate(tree)


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("masked", BertConfig(**SIZES)),
        (
            "span_corruption",
            T5Config(**SIZES),
        ),
        (
            "prefix_lm",
            GPT2Config(**SIZES),
        ),
    ],
)
def test_each_objective_learns(tmp_path, name: str, config: TransformerConfig) -> None:
    train = train_config(objective={"type": name}, max_steps=40, learning_rate=1e-2, save_steps=40)
    model: LanguageModel = build(config, seed=1)
    run_stage(stage(tmp_path, train), model)
    losses = [row["value"] for row in read_log(tmp_path / "log.jsonl") if row["name"] == "train/loss"]
    assert np.mean(losses[-5:]) < 0.75 * losses[0]
