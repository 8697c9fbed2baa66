"""A checkpoint as a ``TextModel``: its tokenizer and template around its decoder.

Loading refuses a tokenizer or a template that the model was not trained with (``Checkpoint`` compares
their digests). Prompts are encoded as plain text; only the template sets special tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from towpath.model.config import SamplingConfig
from towpath.serve.config import ServeConfig
from towpath.serve.text_model import Message, Settings

if TYPE_CHECKING:
    from towpath.model.text import TextStep
    from towpath.train.checkpoint import Loaded

SEED_MASK = (1 << 63) - 1
"""OpenAI's seeds may be negative; the model's may not."""


def load_model(path: Path, config: ServeConfig) -> CheckpointModel:
    """The checkpoint in the folder ``path``, in memory.

    Raises:
        ArtifactError: it is missing, damaged, or its tokenizer or template is not its own.
    """
    import torch

    from towpath.train.checkpoint import Checkpoint

    torch.set_num_threads(config.threads)
    return CheckpointModel(Checkpoint.open(path).load(), config.model_name)


class CheckpointModel:
    """A loaded checkpoint that answers; meets ``TextModel``."""

    def __init__(self, loaded: Loaded, name: str | None = None) -> None:
        self.id = loaded.id
        self.name = name or loaded.name
        self.parameters = sum(weight.numel() for weight in loaded.model.parameters())
        self.context_tokens: int = loaded.model.config.n_positions
        self._model = loaded.model
        self._tokenizer = loaded.tokenizer
        self._template = loaded.template
        self.roles = tuple(loaded.template.roles) if loaded.template else ()
        self._stop_ids: tuple[int, ...] = (loaded.tokenizer.end_of_text,)
        if loaded.template is not None:
            self._stop_ids += (loaded.template.end_of_turn_id(loaded.tokenizer),)

    def encode(self, text: str) -> list[int]:
        """Token ids of ``text``; an empty one begins a document."""
        from towpath.model.text import encode_prompt

        return encode_prompt(self._tokenizer, text)

    def encode_chat(self, messages: Sequence[Message]) -> list[int]:
        """Token ids of a conversation, rendered exactly as in tuning, up to the assistant's turn."""
        assert self._template is not None
        return self._template.render(messages, self._tokenizer, add_generation_prompt=True).ids

    def generate(self, prompt_ids: Sequence[int], settings: Settings) -> Iterator[TextStep]:
        """One step for each token; the token that ends the answer is one, too."""
        from towpath.model.text import text_steps

        sampling = SamplingConfig(
            max_new_tokens=settings.max_tokens,
            temperature=settings.temperature,
            top_p=settings.top_p,
            top_k=settings.top_k,
            repetition_penalty=settings.repetition_penalty,
            seed=settings.seed & SEED_MASK,
            stop_ids=self._stop_ids,
        )
        return text_steps(self._model, self._tokenizer, prompt_ids, sampling, settings.stop)
