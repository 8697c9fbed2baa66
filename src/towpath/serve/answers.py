"""From a request's settings to a running job, and from its end to what the client is told.

The one place that knows the limits: of the model's context, of the server's settings, of the queue.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass

from starlette.concurrency import run_in_threadpool

from towpath.serve.config import ServeConfig
from towpath.serve.engine import Engine, Job, QueueFullError, StoppingError
from towpath.serve.problems import ApiError
from towpath.serve.text_model import Settings

RETRY_AFTER_STOP_SECONDS = 5


@dataclass(frozen=True)
class Limit:
    """How many tokens a request asks for: the field it used, its value, and what None means."""

    field: str
    value: int | None
    default: int | None = None
    """None: all that is left."""
    counts_prompt: bool = False
    """Whether the field's value is the length of prompt and answer together."""


async def encoded(encode: Callable[[], list[int]]) -> list[int]:
    """The prompt's token ids, made off the event loop: a long text takes a while."""
    return await run_in_threadpool(encode)


def checked_limit(prompt_tokens: int, limit: Limit, engine: Engine, chat: bool = False) -> int:
    """How many tokens the answer may have.

    Raises:
        ApiError: the prompt leaves no room, or more was asked for than there is.
    """
    context = engine.model.context_tokens
    longest = min(context - 1, engine.config.max_prompt_tokens or context)
    if prompt_tokens > longest:
        raise ApiError(
            400, _too_long(prompt_tokens, longest, context, chat), param="messages" if chat else "prompt",
            code="context_length_exceeded",
        )  # fmt: skip
    most = min(engine.config.max_new_tokens, context - prompt_tokens)
    if limit.value is None:
        return min(limit.default or most, most)
    counted = prompt_tokens if limit.counts_prompt else 0
    if not counted + 1 <= limit.value <= counted + most:
        raise ApiError(
            400,
            f"{limit.field} must be from {counted + 1} to {counted + most} here"
            f"{', prompt included' if counted else ''}; it is {str(limit.value)[:40]}. The model's "
            f"context is {context} tokens, the prompt takes {prompt_tokens}, and the server makes at "
            f"most {engine.config.max_new_tokens}.",
            param=limit.field,
            code="out_of_range",
        )
    return limit.value - counted


def _too_long(prompt_tokens: int, longest: int, context: int, chat: bool) -> str:
    if longest < context - 1:
        bound = f"this server takes prompts of at most {longest}"
    else:
        bound = f"the model's context is {context}, of which the answer needs at least 1"
    if chat:
        return (
            f"The conversation has {prompt_tokens} tokens; {bound}. Leave out its oldest turns, or start "
            "a new conversation. The server never leaves out turns by itself."
        )
    return f"The prompt has {prompt_tokens} tokens; {bound}. Shorten it."


def chosen_seed(seed: int | None) -> int:
    """``seed``, or a random one, which the record keeps, so that any answer can be made again."""
    return secrets.randbits(32) if seed is None else seed


def submitted(
    engine: Engine, request_id: str, endpoint: str, prompt_ids: list[int], settings: Settings
) -> Job:
    """The job, queued.

    Raises:
        ApiError: 429 when the queue is full, 503 when the server is stopping.
    """
    job = Job(request_id, endpoint, prompt_ids, settings)
    try:
        engine.submit(job)
    except QueueFullError as error:
        raise ApiError(
            429,
            f"{error.waiting} requests are waiting already. Try again in about {error.retry_seconds} s.",
            code="queue_full",
            retry_seconds=error.retry_seconds,
        ) from error
    except StoppingError as error:
        raise _stopping() from error
    return job


def finish_reason(job: Job, config: ServeConfig) -> str:
    """``stop`` or ``length``, as OpenAI's API has it; an answer whose time was up ends with ``length``.

    Raises:
        ApiError: the job did not come to an answer.
    """
    match job.finish:
        case "stop" | "length":
            return job.finish
        case "time":
            return "length"
        case "waited":
            raise ApiError(
                503,
                f"The model was busy for {config.queue_seconds:g} s. Try again later.",
                code="queue_timeout",
                retry_seconds=RETRY_AFTER_STOP_SECONDS,
            )
        case "shutdown" | "cancelled":
            raise _stopping()
        case _:
            raise ApiError(
                500,
                f"The model failed on this request; the server's log has it under {job.id}.",
                code="model_failed",
            )


def _stopping() -> ApiError:
    return ApiError(
        503,
        "The server is shutting down. Try again later.",
        code="shutting_down",
        retry_seconds=RETRY_AFTER_STOP_SECONDS,
    )
