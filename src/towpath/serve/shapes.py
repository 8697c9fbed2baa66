"""Answers and parts of streams in the shapes of OpenAI's API."""

from __future__ import annotations

import time
from typing import Any

from towpath.serve.engine import Job


class Completion:
    """The shapes of a text completion."""

    prefix, whole, part = "cmpl", "text_completion", "text_completion"

    def __init__(self, job: Job, model_id: str) -> None:
        self.job, self.model_id, self.created = job, model_id, int(time.time())

    def frame(self, kind: str, choices: list[dict[str, Any]]) -> dict[str, Any]:
        """What every object and chunk begins with."""
        identifier = f"{self.prefix}-{self.job.id}"
        head = {"id": identifier, "object": kind, "created": self.created, "model": self.model_id}
        return {**head, "choices": choices}

    def answer(self, text: str, reason: str) -> dict[str, Any]:
        """The whole answer."""
        return {**self.frame(self.whole, [self.choice(text, reason)]), "usage": self.usage()}

    def chunk(self, text: str, reason: str | None = None) -> dict[str, Any]:
        """A part of a streamed answer; the last one has a reason."""
        return self.frame(self.part, [self.choice(text, reason)])

    def opening(self) -> list[dict[str, Any]]:
        """Chunks before the first text."""
        return []

    def choice(self, text: str, reason: str | None) -> dict[str, Any]:
        """The one choice of an object or chunk."""
        return {"index": 0, "text": text, "logprobs": None, "finish_reason": reason}

    def usage(self) -> dict[str, int]:
        """Token counts, once the job has ended."""
        prompt, completion = len(self.job.prompt_ids), self.job.completion_tokens
        return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


class ChatCompletion(Completion):
    """The shapes of a chat completion."""

    prefix, whole, part = "chatcmpl", "chat.completion", "chat.completion.chunk"

    def answer(self, text: str, reason: str) -> dict[str, Any]:
        """The whole answer."""
        message = {"role": "assistant", "content": text, "refusal": None}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": reason}
        return {**self.frame(self.whole, [choice]), "usage": self.usage()}

    def opening(self) -> list[dict[str, Any]]:
        """Chunks before the first text: who speaks."""
        delta = {"role": "assistant", "content": ""}
        return [
            self.frame(self.part, [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": None}])
        ]

    def choice(self, text: str, reason: str | None) -> dict[str, Any]:
        """The one choice of a chunk."""
        delta = {"content": text} if text else {}
        return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
