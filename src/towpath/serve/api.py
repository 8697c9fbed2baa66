"""The API: the specification's ``/generate``, and OpenAI's models, completions and chat completions.

Each answer names the request (``X-Request-Id``) and the checkpoint (``model``, ``X-Towpath-Model``).
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from towpath.serve.answers import Limit, checked_limit, chosen_seed, encoded, finish_reason, submitted
from towpath.serve.bodies import ChatBody, CompletionBody, GenerateBody, SamplingBody
from towpath.serve.engine import Engine, Job
from towpath.serve.event_stream import DONE, EventStream, event, unless_gone
from towpath.serve.problems import ApiError
from towpath.serve.shapes import ChatCompletion, Completion
from towpath.serve.text_model import Message, Settings

GENERATE_TOKENS = 100
COMPLETION_TOKENS = 16
CLIENT_GONE = 499

_STREAMS: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {"application/json": {}, "text/event-stream": {}},
        "description": "The answer, or its stream.",
    }
}


def router(engine: Engine, created: int) -> APIRouter:
    """The routes, answered by ``engine``. ``created``: when the model was loaded, in Unix seconds."""
    routes = APIRouter()
    model = engine.model

    @routes.post("/generate", response_model=None)
    async def generate(request: Request, body: GenerateBody) -> Response | dict[str, str]:
        """Continue a text."""
        prompt_ids = await encoded(partial(model.encode, body.prompt))
        left = GENERATE_TOKENS - len(prompt_ids)
        default = left if left > 0 else GENERATE_TOKENS
        limit = Limit("max_length", body.max_length, default, counts_prompt=True)
        settings = Settings(
            checked_limit(len(prompt_ids), limit, engine), chosen_seed(None), temperature=body.temperature
        )
        job = submitted(engine, request.state.id, "/generate", prompt_ids, settings)
        text = await whole_text(engine, job, request)
        if text is None:
            return Response(status_code=CLIENT_GONE)
        finish_reason(job, engine.config)
        return {"generated_text": body.prompt + text}

    @routes.get("/v1/models")
    async def models() -> dict[str, Any]:
        """The model being served."""
        return {"object": "list", "data": [model_entry(engine, created)]}

    @routes.get("/v1/models/{name:path}")
    async def one_model(name: str) -> dict[str, Any]:
        """The model being served, when it is called ``name``."""
        check_model(engine, name)
        return model_entry(engine, created)

    @routes.post("/v1/completions", response_model=None, responses=_STREAMS)
    async def completions(request: Request, body: CompletionBody) -> Response | dict[str, Any]:
        """Continue a text."""
        check_model(engine, body.model)
        prompt = body.prompt if isinstance(body.prompt, str) else body.prompt[0]
        prompt_ids = await encoded(partial(model.encode, prompt))
        limit = Limit("max_tokens", body.max_tokens, COMPLETION_TOKENS)
        settings = sampling(body, checked_limit(len(prompt_ids), limit, engine))
        job = submitted(engine, request.state.id, "/v1/completions", prompt_ids, settings)
        return await reply(engine, job, request, body, Completion(job, model.id))

    @routes.post("/v1/chat/completions", response_model=None, responses=_STREAMS)
    async def chat(request: Request, body: ChatBody) -> Response | dict[str, Any]:
        """Answer a conversation."""
        check_model(engine, body.model)
        check_roles(engine, body)
        messages = [Message(message.role, message.text) for message in body.messages]
        prompt_ids = await encoded(partial(model.encode_chat, messages))
        field = "max_tokens" if body.max_completion_tokens is None else "max_completion_tokens"
        limit = Limit(field, getattr(body, field))
        settings = sampling(body, checked_limit(len(prompt_ids), limit, engine, chat=True))
        job = submitted(engine, request.state.id, "/v1/chat/completions", prompt_ids, settings)
        return await reply(engine, job, request, body, ChatCompletion(job, model.id))

    return routes


def model_entry(engine: Engine, created: int) -> dict[str, Any]:
    """The model as ``/v1/models`` shows it; what OpenAI's shape has no place for is under ``towpath``."""
    model = engine.model
    about = {
        "name": model.name,
        "parameters": model.parameters,
        "context_tokens": model.context_tokens,
        "max_new_tokens": min(engine.config.max_new_tokens, model.context_tokens - 1),
        "roles": list(model.roles),
    }
    return {"id": model.id, "object": "model", "created": created, "owned_by": "towpath", "towpath": about}


def check_model(engine: Engine, name: str | None) -> None:
    """Refuse a request for a model that is not the one being served."""
    if name not in (None, engine.model.id, engine.model.name):
        raise ApiError(
            404,
            f"There is no model {ascii(name)[:80]} here; there is {engine.model.name!r} ({engine.model.id}).",
            param="model",
            code="model_not_found",
        )


def check_roles(engine: Engine, body: ChatBody) -> None:
    """Refuse a chat with a model that has no template, or with roles that its template lacks."""
    roles = engine.model.roles
    if not roles:
        raise ApiError(
            400,
            "This model has no chat template: it continues text. Use /v1/completions, "
            'or serve a checkpoint that "towpath tune sft" made.',
            param="messages",
            code="no_chat_template",
        )
    for position, message in enumerate(body.messages):
        if message.role not in roles:
            where = f"messages.{position}.role"
            text = (
                f"{where}: the model knows no role {ascii(message.role)[:80]}; it knows {', '.join(roles)}."
            )
            raise ApiError(400, text, param=where, code="unknown_role")


def sampling(body: SamplingBody, max_tokens: int) -> Settings:
    """The settings of ``body`` with the API's defaults filled in."""
    return Settings(
        max_tokens=max_tokens,
        seed=chosen_seed(body.seed),
        temperature=1.0 if body.temperature is None else body.temperature,
        top_p=1.0 if body.top_p is None else body.top_p,
        top_k=body.top_k,
        repetition_penalty=1.0 if body.repetition_penalty is None else body.repetition_penalty,
        stop=body.stops,
    )


async def reply(
    engine: Engine, job: Job, request: Request, body: SamplingBody, shapes: Completion
) -> Response | dict[str, Any]:
    """The answer of ``job``, whole or as a stream."""
    if body.stream:
        include_usage = body.stream_options is not None and body.stream_options.include_usage
        events = stream(engine, job, shapes, include_usage)
        return EventStream(events, partial(engine.cancel, job), engine.config.client_seconds)
    text = await whole_text(engine, job, request)
    if text is None:
        return Response(status_code=CLIENT_GONE)
    return shapes.answer(text, finish_reason(job, engine.config))


async def whole_text(engine: Engine, job: Job, request: Request) -> str | None:
    """All text of ``job``; None, with the job cancelled, when the client goes before."""

    async def collected() -> str:
        return "".join([text async for text in job.texts()])

    try:
        return await unless_gone(request.receive, collected())
    finally:
        engine.cancel(job)


async def stream(engine: Engine, job: Job, shapes: Completion, include_usage: bool) -> AsyncIterator[str]:
    """The events of a streamed answer. One that fails ends with an ``error`` event and no ``[DONE]``."""
    extra: dict[str, Any] = {"usage": None} if include_usage else {}
    for chunk in shapes.opening():
        yield event({**chunk, **extra})
    async for text in job.texts():
        yield event({**shapes.chunk(text), **extra})
    try:
        reason = finish_reason(job, engine.config)
    except ApiError as error:
        yield event(error.body())
        return
    yield event({**shapes.chunk("", reason), **extra})
    if include_usage:
        yield event({**shapes.frame(shapes.part, []), "usage": shapes.usage()})
    yield DONE
