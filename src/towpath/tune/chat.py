"""Answering: a conversation in, the assistant's next turn out, rendered exactly as in tuning."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from towpath.data import Message
from towpath.tokenizer import ChatTemplate, Tokenizer

if TYPE_CHECKING:
    from towpath.model.language_model import LanguageModel


def stream_reply(
    model: LanguageModel,
    tokenizer: Tokenizer,
    template: ChatTemplate,
    messages: Sequence[Message],
    *,
    max_new_tokens: int = 100,
    temperature: float = 0.8,
    top_p: float = 0.9,
    repetition_penalty: float = 1.0,
    seed: int | None = None,
) -> Iterator[str]:
    """Pieces of the assistant's answer to ``messages`` as they are made.

    Raises:
        ModelError: the conversation is longer than the model's context.
    """
    from towpath.model.generate import SamplingConfig
    from towpath.model.text import stream_text

    prompt = template.render(messages, tokenizer, add_generation_prompt=True).ids
    sampling = SamplingConfig(
        max_new_tokens=max_new_tokens,
        temperature=temperature,
        top_p=top_p,
        repetition_penalty=repetition_penalty,
        seed=seed,
        stop_ids=(template.end_of_turn_id(tokenizer), tokenizer.end_of_text),
    )
    yield from stream_text(model, tokenizer, prompt, sampling)


def reply(
    model: LanguageModel,
    tokenizer: Tokenizer,
    template: ChatTemplate,
    messages: Sequence[Message],
    *,
    max_new_tokens: int = 60,
    temperature: float = 0.8,
    seed: int | None = None,
) -> str:
    """The assistant's whole answer to ``messages``."""
    pieces = stream_reply(
        model,
        tokenizer,
        template,
        messages,
        max_new_tokens=max_new_tokens,
        temperature=temperature,
        seed=seed,
    )
    return "".join(pieces).strip()
