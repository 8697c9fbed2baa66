"""What the server asks of a model: token ids of a prompt in, one step for each token made out.

The engine and the API know only this. ``checkpoint_model`` meets it with a trained checkpoint;
the tests meet it with a few lines.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a chat."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Settings:
    """How one answer is sampled."""

    max_tokens: int
    """Most tokens to make."""
    seed: int
    """The same prompt, settings and seed give the same answer."""
    temperature: float = 1.0
    """0 takes the likeliest token every time."""
    top_p: float = 1.0
    """Sample from the likeliest tokens that hold this share of the probability."""
    top_k: int | None = None
    """Sample from this many of the likeliest tokens."""
    repetition_penalty: float = 1.0
    """Above 1, tokens that were there before become less likely."""
    stop: tuple[str, ...] = ()
    """Texts that end the answer; the answer does not hold them."""


class Step(Protocol):
    """What one token added, such as ``towpath.model.TextStep``."""

    @property
    def text(self) -> str:
        """May be empty: half a character, or what may become a stop text."""
        ...

    @property
    def finish_reason(self) -> Literal["stop", "length"] | None:
        """Set on the last step: the model or a stop text ended it, or ``max_tokens`` did."""
        ...


class TextModel(Protocol):
    """A loaded model with its tokenizer."""

    id: str
    """Identity of its weights, tokenizer and template: leads an answer back to its checkpoint."""
    name: str
    """What people call it."""
    parameters: int
    """Number of weights."""
    context_tokens: int
    """Tokens that prompt and answer may have together."""
    roles: tuple[str, ...]
    """Roles of its chat template; empty for a model that only continues text."""

    def encode(self, text: str) -> list[int]:
        """Token ids of a text to continue, at least one; special tokens in it are plain text."""
        ...

    def encode_chat(self, messages: Sequence[Message]) -> list[int]:
        """Token ids of a chat, up to where the assistant's answer begins."""
        ...

    def generate(self, prompt_ids: Sequence[int], settings: Settings) -> Iterator[Step]:
        """One step for each token made, the last with its ``finish_reason``. May raise."""
        ...
