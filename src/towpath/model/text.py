"""Text in, text out: generation with a tokenizer, stop strings and whole characters.

A piece of text is given out as soon as it can't change any more: its characters are whole, and it
is not the beginning of a stop string.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from towpath.core.errors import ConfigError, ModelError
from towpath.core.runfile import validated
from towpath.model.config import MOST_NEW_TOKENS, SamplingConfig
from towpath.model.generate import generate
from towpath.model.language_model import LanguageModel

if TYPE_CHECKING:
    from towpath.tokenizer import Tokenizer


@dataclass(frozen=True, slots=True)
class TextStep:
    """What one token added. ``text`` may be empty: half a character, or the start of a stop string."""

    text: str
    finish_reason: Literal["stop", "length"] | None = None
    """Set on the last step. "stop": a stop token or string came; "length": tokens or context ran out."""


def generate_text(
    model: LanguageModel,
    tokenizer: Tokenizer,
    prompt: str,
    max_length: int = 100,
    temperature: float = 0.8,
    **settings: object,
) -> str:
    """``prompt`` and what the model makes of it, special tokens left out.

    ``max_length`` is in tokens and counts the prompt, as in transformers. An encoder-decoder answers
    instead of going on: its answer alone comes back and is counted. ``settings`` are further
    fields of ``SamplingConfig``: ``generate_text(model, tokenizer, "Once", top_k=50, seed=1)``.

    Raises:
        ConfigError: a setting out of its range, or unknown.
        ModelError: the prompt leaves no room within ``max_length`` or the context.
        TokenizerError: the prompt can't be encoded.
    """
    if not 1 <= max_length <= MOST_NEW_TOKENS:
        raise ConfigError(
            f"max_length = {max_length} is not between 1 and {MOST_NEW_TOKENS:,} tokens. Try 100."
        )
    prompt_ids = encode_prompt(tokenizer, prompt)
    answers = model.config.family == "encoder-decoder"
    n_new = max_length if answers else max_length - len(prompt_ids)
    context = model.config.n_positions
    if n_new < 1 and len(prompt_ids) < context:
        raise ModelError(
            f"max_length = {max_length} counts the prompt, which has {len(prompt_ids)} tokens. "
            f"Try {min(len(prompt_ids) + 100, context)}."
        )
    if n_new < 1:
        raise ModelError(
            f"The prompt has {len(prompt_ids)} tokens and the model's context {context}: no room is left to "
            "write. Shorten the prompt."
        )
    asked = dict(temperature=temperature, max_new_tokens=n_new, **settings)
    sampling = validated(SamplingConfig, asked, "generate_text")
    return ("" if answers else prompt) + "".join(stream_text(model, tokenizer, prompt_ids, sampling))


def stream_text(
    model: LanguageModel,
    tokenizer: Tokenizer,
    prompt: str | Sequence[int],
    sampling: SamplingConfig,
    stop: Sequence[str] = (),
) -> Iterator[str]:
    """Pieces of the text that follows ``prompt``, none empty; see ``text_steps``."""
    return (step.text for step in text_steps(model, tokenizer, prompt, sampling, stop) if step.text)


def text_steps(
    model: LanguageModel,
    tokenizer: Tokenizer,
    prompt: str | Sequence[int],
    sampling: SamplingConfig,
    stop: Sequence[str] = (),
) -> Iterator[TextStep]:
    """One step for each token drawn after ``prompt``, a text or token ids.

    The text ends before the first of the ``stop`` strings and before a stop token:
    ``sampling.stop_ids``, or the tokenizer's end of text when there are none. Special tokens are left
    out of the text.

    Raises:
        ModelError: at once, when the prompt is longer than the context.
    """
    ids = encode_prompt(tokenizer, prompt) if isinstance(prompt, str) else prompt
    stop_ids = sampling.stop_ids or (tokenizer.end_of_text,)
    sampling = sampling.model_copy(update={"stop_ids": stop_ids})
    tokens = generate(model, ids, sampling, vocab_size=tokenizer.vocab_size)
    return _steps(tokens, tokenizer, stop_ids, stop)


def encode_prompt(tokenizer: Tokenizer, prompt: str) -> list[int]:
    """Ids of ``prompt``; an empty one is the end of text, after which a new text begins."""
    return tokenizer.encode(prompt) or [tokenizer.end_of_text]


def _steps(
    tokens: Iterator[int], tokenizer: Tokenizer, stop_ids: Sequence[int], stop: Sequence[str]
) -> Iterator[TextStep]:
    decoder, stops = tokenizer.stream_decoder(skip_special=True), StopStrings(stop)
    held: str | None = None  # the step before, given out once it is known whether it was the last
    for token in tokens:
        if held is not None:
            yield TextStep(held)
        if token in stop_ids:
            yield TextStep(stops.push(decoder.finish()) + stops.finish(), "stop")
            return
        held = stops.push(decoder.push(token))
        if stops.found:
            yield TextStep(held, "stop")
            return
    last = stops.push(decoder.finish()) + stops.finish()
    yield TextStep((held or "") + last, "stop" if stops.found else "length")


class StopStrings:
    """Passes text on until one of ``stop`` occurs, across any borders between pieces."""

    def __init__(self, stop: Sequence[str]) -> None:
        self._stop = [text for text in stop if text]
        self._held = ""
        self.found = False
        """Whether a stop string came; the text before it is all that is given out."""

    def push(self, piece: str) -> str:
        """What can be given out now that ``piece`` came."""
        if self.found:
            return ""
        text = self._held + piece
        places = [place for place in map(text.find, self._stop) if place >= 0]
        if places:
            self.found, self._held = True, ""
            return text[: min(places)]
        keep = max((_overlap(text, stop) for stop in self._stop), default=0)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]

    def finish(self) -> str:
        """What was held back and turned out to be no stop string."""
        held, self._held = self._held, ""
        return held


def _overlap(text: str, stop: str) -> int:
    """Length of the longest end of ``text`` that begins ``stop``."""
    longest = min(len(text), len(stop) - 1)
    return next((size for size in range(longest, 0, -1) if stop.startswith(text[-size:])), 0)
