"""The real ``openai`` client against a real server on a loopback port."""

from __future__ import annotations

import asyncio

import openai
import pytest

from towpath.serve.config import ServeConfig

from .doubles import FakeModel, Live, until

KEY = "a-key-of-more-than-16-characters"
HI: list = [{"role": "user", "content": "Hi"}]


def client_of(live: Live, key: str = "none") -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{live.url}/v1", api_key=key, max_retries=0)


@pytest.fixture
def live(live_of) -> Live:
    return live_of(FakeModel(says="Hello there!", ends=True))


def test_models_completions_and_chats(live: Live) -> None:
    client = client_of(live)
    model = client.models.list().data[0].id
    completion = client.completions.create(model=model, prompt="Hi", max_tokens=5)
    assert (completion.choices[0].text, completion.choices[0].finish_reason) == ("Hello", "length")
    chat = client.chat.completions.create(
        model=model, messages=HI, temperature=0, top_p=0.9, seed=1, stop=["x"]
    )
    assert (chat.choices[0].message.content, chat.choices[0].finish_reason) == ("Hello there!", "stop")
    assert chat.usage is not None
    assert chat.usage.completion_tokens == len("Hello there!")
    assert chat.model == model
    assert chat._request_id
    assert chat.id == f"chatcmpl-{chat._request_id}"


def test_an_answer_can_be_sent_back_as_the_client_holds_it(live: Live) -> None:
    client = client_of(live)
    answer = client.chat.completions.create(model="fake", messages=HI).choices[0].message
    turns = [*HI, answer, {"role": "user", "content": "And?"}]
    assert client.chat.completions.create(model="fake", messages=turns).choices[0].finish_reason == "stop"
    turns[1] = answer.model_dump()
    assert client.chat.completions.create(model="fake", messages=turns).choices[0].finish_reason == "stop"


def test_streams_of_chats_and_completions(live: Live) -> None:
    client = client_of(live)
    options: dict = {"model": "fake", "stream": True, "stream_options": {"include_usage": True}}
    chunks = list(client.chat.completions.create(messages=HI, **options))
    assert (
        "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "Hello there!"
    )
    assert chunks[-1].usage.total_tokens == chunks[-1].usage.prompt_tokens + len("Hello there!")
    assert chunks[-2].choices[0].finish_reason == "stop"
    parts = list(client.completions.create(prompt="Hi", max_tokens=5, **options))
    assert "".join(part.choices[0].text for part in parts if part.choices) == "Hello"


def test_the_asynchronous_client(live: Live) -> None:
    async def go() -> None:
        async with openai.AsyncOpenAI(base_url=f"{live.url}/v1", api_key="none") as client:
            ask = client.chat.completions.create
            answers = await asyncio.gather(*(ask(model="fake", messages=HI) for _ in range(5)))
            assert {answer.choices[0].message.content for answer in answers} == {"Hello there!"}
            stream = await ask(model="fake", messages=HI, stream=True)
            text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
            assert text == "Hello there!"

    asyncio.run(go())


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        (openai.NotFoundError, {"model": "gpt-4"}),
        (openai.BadRequestError, {"temperature": 3}),
        (openai.BadRequestError, {"max_tokens": -1}),
        (openai.BadRequestError, {"n": 2}),
        (openai.BadRequestError, {"messages": [{"role": "user", "content": "x" * 300}]}),
        (openai.InternalServerError, {"messages": [{"role": "user", "content": "FAIL"}]}),
    ],
)
def test_errors_are_the_client_s_own(live: Live, kind: type[openai.APIStatusError], change: dict) -> None:
    with pytest.raises(kind) as raised:
        client_of(live).chat.completions.create(**{"model": "fake", "messages": HI, **change})
    assert raised.value.code is not None
    assert raised.value.request_id


def test_an_error_in_a_stream_is_the_client_s_own(live: Live) -> None:
    stream = client_of(live).completions.create(model="fake", prompt="FAIL", stream=True)
    with pytest.raises(openai.APIError, match="failed on this request"):
        list(stream)


def test_a_key_is_asked_for_and_taken(live_of) -> None:
    live = live_of(api_key=KEY)
    with pytest.raises(openai.AuthenticationError, match="API key"):
        client_of(live, "wrong").models.list()
    assert client_of(live, KEY).models.list().data[0].id == live.model.id


def test_a_full_queue_is_a_rate_limit_error_with_retry_after(live_of) -> None:
    live = live_of(FakeModel(step_seconds=0.01), ServeConfig(port=0, queue_size=0, drain_seconds=0.2))
    client = client_of(live)
    first = client.chat.completions.create(model="fake", messages=HI, stream=True)
    until(lambda: live.model.made > 0)
    with pytest.raises(openai.RateLimitError) as raised:
        client.chat.completions.create(model="fake", messages=HI)
    assert raised.value.code == "queue_full"
    assert int(raised.value.response.headers["Retry-After"]) >= 1
    first.close()
    until(lambda: live.server.engine.running == 0)
    assert client.completions.create(model="fake", prompt="x", max_tokens=1).choices[0].text == "T"
