"""Loss by position and passkeys, against models whose answers are known."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F

from towpath.core.errors import DataError
from towpath.evaluate.passkey import FILLER, named, passkey, passkey_accuracy
from towpath.evaluate.per_position import per_position_loss
from towpath.model.config import GPT2Config, ModernConfig
from towpath.model.decoder import build
from towpath.tokenizer import ByteTokenizer

TOKENIZER = ByteTokenizer()


def test_the_curve_is_the_cross_entropy_of_each_position() -> None:
    model = build(ModernConfig(vocab_size=50, n_positions=700, n_embd=16, n_layer=1, n_head=1), seed=0)
    with torch.no_grad():
        model.tokens.weight.mul_(20)
    windows = [torch.randint(0, 50, (2, 701), generator=torch.Generator().manual_seed(n)) for n in (0, 1)]
    windows[1][0, 600:] = -100
    curve = per_position_loss(model.train(), windows)
    assert model.training
    assert curve.tokens.tolist() == [4] * 599 + [3] * 101
    with torch.no_grad():
        logits = model(windows[0][:, :-1]).logits
    expected = F.cross_entropy(logits.flatten(0, 1), windows[0][:, 1:].flatten(), reduction="none")
    first = per_position_loss(model, windows[:1])
    torch.testing.assert_close(first.nats.float(), expected.view(2, 700).sum(0))
    assert first.loss(0, 700) == pytest.approx(float(expected.mean()), rel=1e-5)
    assert [(a, b) for a, b, _ in first.bins(4)] == [(0, 175), (175, 350), (350, 525), (525, 700)]


def test_an_empty_curve_is_refused() -> None:
    model = build(GPT2Config(vocab_size=50, n_positions=8, n_embd=8, n_layer=1, n_head=1))
    with pytest.raises(DataError, match="no windows"):
        per_position_loss(model, [])
    curve = per_position_loss(model, [torch.zeros(1, 4, dtype=torch.long)])
    with pytest.raises(DataError, match="No token of positions 3 to 6"):
        curve.loss(3, 7)


class Reader:
    """A stand-in for a model that reads: it gives back the last key that it saw, within its reach."""

    training = False
    device = torch.device("cpu")

    def __init__(self, reach_tokens: int) -> None:
        self.reach_tokens = reach_tokens

    def eval(self) -> None: ...

    def train(self, mode: bool) -> None: ...

    def trunk(self, ids: torch.Tensor) -> torch.Tensor:
        text = TOKENIZER.decode(ids[0].tolist())
        question = text.rindex("What is the pass key?")
        seen = text[max(0, question - self.reach_tokens) : question]
        key = seen.split("The pass key is ")[-1][:5] if "The pass key is " in seen else "00000"
        guessed = f"What is the pass key? The pass key is {key}"
        ids = torch.tensor(TOKENIZER.encode(text[:question] + guessed))  # the token after each
        return F.one_hot(ids[1:], TOKENIZER.vocab_size).float()[None]

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        return hidden


@pytest.mark.parametrize("depth", [0.0, 0.5, 1.0])
def test_a_passkey_fills_its_context_and_stands_at_its_depth(depth: float) -> None:
    question = passkey(TOKENIZER, 2000, depth, seed=1)
    text, key = TOKENIZER.decode(question.prompt), TOKENIZER.decode(question.answer).strip()
    length = len(question.prompt) + len(question.answer)
    assert 2000 - len(FILLER) < length <= 2000
    assert key.isdigit()
    assert len(key) == 5
    assert text.count(key) == 2
    before = text[: text.index("The pass key is")].count(FILLER)
    assert before == round(depth * text.count(FILLER))
    assert passkey(TOKENIZER, 2000, depth, seed=1) == question
    assert passkey(TOKENIZER, 2000, depth, seed=2).answer != question.answer


def test_a_reader_finds_every_key_and_one_of_short_reach_the_near_ones() -> None:
    far: Any = Reader(10_000)
    assert passkey_accuracy(far, TOKENIZER, 1500) == {0.0: 1.0, 0.25: 1.0, 0.5: 1.0, 0.75: 1.0, 1.0: 1.0}
    near: Any = Reader(500)
    found = passkey_accuracy(near, TOKENIZER, 1500, depths=(0.0, 1.0))
    assert found == {0.0: 0.0, 1.0: 1.0}


def test_a_model_that_knows_nothing_names_no_key() -> None:
    config = ModernConfig(n_positions=400, n_embd=16, n_layer=1, n_head=1).for_tokenizer(TOKENIZER.vocab_size)
    model = build(config).train()
    assert not named(model, passkey(TOKENIZER, 400, 0.5, seed=0))
    assert model.training


def test_a_context_too_short_for_the_question_is_refused() -> None:
    with pytest.raises(DataError, match=r"takes \d+ tokens and the context has 100"):
        passkey(TOKENIZER, 100, 0.5, seed=0)
