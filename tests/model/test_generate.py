from __future__ import annotations

from collections import Counter
from itertools import islice

import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st

from towpath.core.errors import ModelError
from towpath.model.config import SamplingConfig
from towpath.model.decoder import Decoder
from towpath.model.generate import generate
from towpath.model.sampling import Sampler, candidates, penalised

LOGITS = torch.tensor([2.0, 1.0, 0.5, -1.0, -3.0, 1.9])
PROMPT = [5, 9, 2, 77]


def draws(config: SamplingConfig, logits: torch.Tensor, count: int) -> Counter[int]:
    sampler, seen = Sampler(config), torch.zeros(len(logits), dtype=torch.bool)
    return Counter(sampler.draw(logits.clone(), seen) for _ in range(count))


def test_temperature_zero_takes_the_most_likely_token() -> None:
    assert draws(SamplingConfig(temperature=0), LOGITS, 20) == {0: 20}


def test_tokens_are_drawn_as_often_as_the_model_says() -> None:
    counts = draws(SamplingConfig(temperature=0.7, seed=0), LOGITS, 5000)
    for token, probability in enumerate((LOGITS / 0.7).softmax(0).tolist()):
        assert counts[token] / 5000 == pytest.approx(probability, abs=0.03)  # 4 standard errors


def test_top_k_leaves_the_k_most_likely() -> None:
    assert set(draws(SamplingConfig(temperature=5, top_k=3, seed=0), LOGITS, 500)) == {0, 1, 5}
    assert set(draws(SamplingConfig(temperature=50, top_k=99, seed=0), LOGITS, 500)) == set(range(6))


@pytest.mark.parametrize(("top_p", "left"), [(0.0, {0}), (0.35, {0}), (0.5, {0, 5}), (0.9, {0, 1, 2, 5})])
def test_top_p_leaves_the_fewest_tokens_that_reach_p(top_p: float, left: set[int]) -> None:
    assert set(draws(SamplingConfig(temperature=1, top_p=top_p, seed=0), LOGITS, 1000)) == left


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(-8, 8, width=32), min_size=2, max_size=40, unique=True),
    st.integers(1, 50),
    st.floats(0.01, 1),
)
def test_the_candidates_are_those_of_transformers(values: list[float], top_k: int, top_p: float) -> None:
    scores = torch.tensor(values)
    kept = transformers.TopKLogitsWarper(top_k)(None, scores[None])  # type: ignore[arg-type]
    kept = transformers.TopPLogitsWarper(top_p)(None, kept)[0]  # type: ignore[arg-type]
    _, ours = candidates(scores, SamplingConfig(top_k=top_k, top_p=top_p))
    theirs = set(torch.isfinite(kept).nonzero().flatten().tolist())
    borderline = set(ours.tolist()) ^ theirs
    assert len(borderline) <= (1 if top_p < 1 else 0)  # sums in another order at the very border


def test_the_repetition_penalty_is_that_of_transformers() -> None:
    logits, seen_ids = (
        torch.randn(50, generator=torch.Generator().manual_seed(0)),
        torch.tensor([[3, 7, 7, 20]]),
    )
    expected = transformers.RepetitionPenaltyLogitsProcessor(1.3)(seen_ids, logits[None].clone())[0]
    seen = torch.zeros(50, dtype=torch.bool)
    seen[seen_ids] = True
    torch.testing.assert_close(penalised(logits, seen, 1.3), expected)


def test_a_strong_repetition_penalty_never_repeats(model: Decoder) -> None:
    sampling = SamplingConfig(temperature=0, repetition_penalty=100, max_new_tokens=20)
    tokens = list(generate(model, PROMPT, sampling))
    assert len({*tokens, *PROMPT}) == 24


def test_the_same_seed_draws_the_same_tokens_and_another_does_not(model: Decoder) -> None:
    def tokens(seed: int) -> list[int]:
        return list(generate(model, PROMPT, SamplingConfig(seed=seed, max_new_tokens=20)))

    torch.manual_seed(0)
    before = torch.get_rng_state()
    assert tokens(1) == tokens(1)
    assert tokens(1) != tokens(2)
    assert torch.equal(torch.get_rng_state(), before)


def test_draws_without_a_seed_differ(model: Decoder) -> None:
    sampling = SamplingConfig(temperature=50, max_new_tokens=28)
    assert list(generate(model, PROMPT, sampling)) != list(generate(model, PROMPT, sampling))


def test_generation_by_cache_is_generation_without(model: Decoder) -> None:
    ids = list(PROMPT)
    for token in generate(model, PROMPT, SamplingConfig(temperature=0, max_new_tokens=12)):
        assert token == int(model(torch.tensor([ids])).logits[0, -1].argmax())
        ids.append(token)


def test_generation_stops_at_the_end_of_the_context(model: Decoder) -> None:
    sampling = SamplingConfig(max_new_tokens=1000)
    assert len(list(generate(model, PROMPT, sampling))) == 32 - 4 + 1  # the last one is not read again
    assert len(list(generate(model, [1] * 32, sampling))) == 1


def test_a_stop_token_is_the_last(model: Decoder) -> None:
    greedy = SamplingConfig(temperature=0, max_new_tokens=20, repetition_penalty=100)
    tokens = list(generate(model, PROMPT, greedy))
    stopped = list(generate(model, PROMPT, greedy.model_copy(update={"stop_ids": (tokens[6],)})))
    assert stopped == tokens[:7]


def test_padded_ids_are_never_drawn(model: Decoder) -> None:
    hot = SamplingConfig(temperature=100, max_new_tokens=28, seed=0)
    assert max(generate(model, PROMPT, hot)) >= 40
    assert max(generate(model, PROMPT, hot, vocab_size=40)) < 40


def test_a_prompt_beyond_the_context_is_refused_with_both_numbers(model: Decoder) -> None:
    with pytest.raises(
        ModelError, match=r"prompt has 33 tokens and the model's context holds 32.* at least 1"
    ):
        generate(model, [1] * 33, SamplingConfig())


def test_an_empty_prompt_and_a_foreign_token_are_refused(model: Decoder) -> None:
    with pytest.raises(ModelError, match="The prompt is empty"):
        generate(model, [], SamplingConfig())
    with pytest.raises(ModelError, match="Token id 500 is outside the model's vocabulary of 101"):
        generate(model, [500], SamplingConfig())


def test_logits_that_are_not_finite_are_an_error_not_a_token(model: Decoder) -> None:
    model.tokens.weight.data[3] = float("nan")
    with pytest.raises(ModelError, match="logits are not finite"):
        next(generate(model, [3], SamplingConfig()))


def test_a_model_in_training_generates_without_dropout_and_stays_in_training(tiny_gpt: Decoder) -> None:
    sampling = SamplingConfig(seed=0, max_new_tokens=10)
    expected = list(generate(tiny_gpt, PROMPT, sampling))
    tiny_gpt.train()
    tiny_gpt.dropout.p = 0.9
    assert list(generate(tiny_gpt, PROMPT, sampling)) == expected
    assert tiny_gpt.training
    assert tiny_gpt.blocks[0].training


def test_generation_leaves_the_caller_s_gradient_mode_alone(model: Decoder) -> None:
    tokens = generate(model, PROMPT, SamplingConfig(max_new_tokens=5))
    for _ in islice(tokens, 2):
        assert torch.is_grad_enabled()
        assert not torch.is_inference_mode_enabled()
