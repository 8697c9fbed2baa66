"""Passkey retrieval: a number hidden in a long text of nothing, asked for at its end.

Mohtashami and Jaggi 2023, arXiv:2305.16300, section 4.3, whose sentences these are. Text, tokenizer
and model in, the share of right answers by length and depth out. A model must be able to read
numbers and follow the pattern at a short length for a long one to say anything.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from towpath.core.errors import DataError

if TYPE_CHECKING:
    from towpath.model.decoder import Decoder
    from towpath.tokenizer import Tokenizer

TASK = (
    "There is an important info hidden inside a lot of irrelevant text. Find it and memorize it. "
    "I will quiz you about the important information there.\n"
)
FILLER = "The grass is green. The sky is blue. The sun is yellow. Here we go. There and back again.\n"
KEY = "The pass key is {key}. Remember it. {key} is the pass key.\n"
QUESTION = "What is the pass key? The pass key is"


@dataclass(frozen=True)
class Passkey:
    """One question: ``prompt`` ids, then ``answer`` ids."""

    prompt: list[int]
    answer: list[int]


def passkey(tokenizer: Tokenizer, context_tokens: int, depth: float, seed: int, digits: int = 5) -> Passkey:
    """A question whose prompt and answer fill ``context_tokens`` as far as whole sentences go.

    ``depth`` is where the key stands: 0 at the beginning, 1 at the end.

    Raises:
        DataError: the context is too short for the question alone.
    """
    key = str(random.Random(seed).randrange(10 ** (digits - 1), 10**digits))
    answer = tokenizer.encode(f" {key}")
    fixed = [tokenizer.encode(text) for text in (TASK, KEY.format(key=key), QUESTION)]
    filler = tokenizer.encode(FILLER)
    needed = sum(map(len, fixed)) + len(answer)
    n_fillers = (context_tokens - needed) // len(filler)
    if n_fillers < 0:
        raise DataError(f"A passkey takes {needed} tokens and the context has {context_tokens}.")
    before = round(depth * n_fillers)
    task, hidden, question = fixed
    prompt = [*task, *filler * before, *hidden, *filler * (n_fillers - before), *question]
    return Passkey(prompt, answer)


def passkey_accuracy(
    model: Decoder,
    tokenizer: Tokenizer,
    context_tokens: int,
    depths: Sequence[float] = (0.0, 0.25, 0.5, 0.75, 1.0),
    trials: int = 4,
) -> dict[float, float]:
    """Share of ``trials`` keys at each depth that the model names to the last digit.

    Raises:
        DataError: the context is too short for the question alone.
        ModelError: the context is longer than the model's.
    """
    found: dict[float, float] = {}
    for place, depth in enumerate(depths):
        questions = [
            passkey(tokenizer, context_tokens, depth, seed=place * trials + trial) for trial in range(trials)
        ]
        found[depth] = sum(named(model, question) for question in questions) / trials
    return found


@torch.no_grad()
def named(model: Decoder, question: Passkey) -> bool:
    """Whether the most likely tokens after the prompt are the answer.

    One pass over both: where each token of the answer is the likeliest after those before it, and
    only there, greedy generation writes it.
    """
    was_training = model.training
    model.eval()
    ids = torch.tensor([[*question.prompt, *question.answer[:-1]]], device=model.device)
    hidden = model.trunk(ids)[0, -len(question.answer) :]
    likeliest = model.logits(hidden).argmax(-1).tolist()
    model.train(was_training)
    return likeliest == question.answer
