from __future__ import annotations

import json

import pytest

from towpath.serve.config import ServeConfig

from .doubles import FakeModel

CHAT = {"messages": [{"role": "user", "content": "Hi"}]}


def events(text: str) -> list[str]:
    return [block.removeprefix("data: ") for block in text.split("\n\n") if block]


def test_generate_continues_the_prompt_as_in_the_specification(client) -> None:
    response = client.post("/generate", json={"prompt": "Say: ", "max_length": 10, "temperature": 0.8})
    assert response.status_code == 200
    assert response.json() == {"generated_text": "Say: To be"}


def test_generate_has_the_specification_s_defaults(client, model: FakeModel) -> None:
    assert len(client.post("/generate", json={"prompt": "x"}).json()["generated_text"]) == 100
    assert (model.asked[0].max_tokens, model.asked[0].temperature) == (99, 0.8)


@pytest.mark.parametrize(("prompt", "whole"), [(99, 100), (100, 200), (150, 250), (250, 256)])
def test_generate_s_default_length_fits_itself_to_the_prompt(client, prompt: int, whole: int) -> None:
    text = client.post("/generate", json={"prompt": "x" * prompt}).json()["generated_text"]
    assert len(text) == whole


@pytest.mark.parametrize("temperature", [0, 0.0, 2])
def test_temperature_takes_whole_numbers_and_zero(client, model: FakeModel, temperature: float) -> None:
    assert client.post("/generate", json={"prompt": "x", "temperature": temperature}).status_code == 200
    assert model.asked[0].temperature == temperature


def test_models_lists_the_one_being_served(client) -> None:
    entry = client.get("/v1/models").json()["data"][0]
    assert entry["id"] == "0123456789abcdef"
    assert entry["towpath"]["context_tokens"] == 256
    assert client.get("/v1/models/fake").json() == entry
    assert client.get("/v1/models/other").status_code == 404


def test_a_completion_has_usage_reason_and_model(client) -> None:
    answer = client.post("/v1/completions", json={"model": "fake", "prompt": "Hi", "max_tokens": 5}).json()
    assert answer["choices"] == [{"index": 0, "text": "To be", "logprobs": None, "finish_reason": "length"}]
    assert answer["usage"] == {"prompt_tokens": 2, "completion_tokens": 5, "total_tokens": 7}
    assert answer["model"] == "0123456789abcdef"


def test_a_chat_answer_that_ends_by_itself_stops(client_of) -> None:
    client = client_of(FakeModel(says="Hello!", ends=True))
    choice = client.post("/v1/chat/completions", json=CHAT).json()["choices"][0]
    assert choice["message"]["content"] == "Hello!"
    assert choice["finish_reason"] == "stop"


def test_a_chat_without_a_limit_may_fill_the_context(client) -> None:
    usage = client.post("/v1/chat/completions", json=CHAT).json()["usage"]
    assert usage["total_tokens"] == 256


def test_parts_of_a_message_are_joined(client) -> None:
    parts = [{"type": "text", "text": "H"}, {"type": "text", "text": "i"}]
    body = {"messages": [{"role": "user", "content": parts}]}
    one = client.post("/v1/chat/completions", json=CHAT).json()["usage"]["prompt_tokens"]
    assert client.post("/v1/chat/completions", json=body).json()["usage"]["prompt_tokens"] == one


def test_a_chat_streams_its_speaker_its_text_its_reason_and_done(client_of) -> None:
    client = client_of(FakeModel(says="Hello!", ends=True))
    response = client.post("/v1/chat/completions", json={**CHAT, "stream": True})
    assert response.headers["content-type"].startswith("text/event-stream")
    *chunks, last = events(response.text)
    assert last == "[DONE]"
    choices = [json.loads(chunk)["choices"][0] for chunk in chunks]
    assert choices[0]["delta"]["role"] == "assistant"
    assert "".join(choice["delta"].get("content", "") for choice in choices) == "Hello!"
    assert [choice["finish_reason"] for choice in choices[-2:]] == [None, "stop"]
    assert all("usage" not in json.loads(chunk) for chunk in chunks)


def test_a_completion_streams_and_tells_usage_when_asked(client) -> None:
    body = {"prompt": "Hi", "max_tokens": 5, "stream": True, "stream_options": {"include_usage": True}}
    *chunks, last = events(client.post("/v1/completions", json=body).text)
    *texts, usage = [json.loads(chunk) for chunk in chunks]
    assert last == "[DONE]"
    assert "".join(chunk["choices"][0]["text"] for chunk in texts) == "To be"
    assert usage["choices"] == []
    assert usage["usage"]["completion_tokens"] == 5


def test_a_stream_that_fails_ends_with_an_error_and_without_done(client) -> None:
    body = {"prompt": "FAIL", "stream": True}
    last = json.loads(events(client.post("/v1/completions", json=body).text)[-1])
    assert last["error"]["code"] == "model_failed"


def test_every_setting_reaches_the_model(client, model: FakeModel) -> None:
    body = {
        "prompt": "Hi", "max_tokens": 3, "temperature": 0.5, "top_p": 0.9, "top_k": 40,
        "repetition_penalty": 1.1, "seed": 7, "stop": ["\n", "."],
    }  # fmt: skip
    assert client.post("/v1/completions", json=body).status_code == 200
    asked = model.asked[0]
    assert (asked.max_tokens, asked.temperature, asked.top_p, asked.top_k) == (3, 0.5, 0.9, 40)
    assert (asked.repetition_penalty, asked.seed, asked.stop) == (1.1, 7, ("\n", "."))


def test_a_request_without_a_seed_gets_one_of_its_own(client, model: FakeModel) -> None:
    for _ in range(2):
        client.post("/v1/completions", json={"prompt": "Hi"})
    assert model.asked[0].seed != model.asked[1].seed


def test_null_means_absent_and_fields_that_ask_for_nothing_pass(client) -> None:
    body = {
        **CHAT, "model": None, "max_tokens": None, "max_completion_tokens": 4, "stop": None, "n": 1,
        "presence_penalty": 0.0, "frequency_penalty": 0, "logit_bias": {}, "tools": [], "logprobs": False,
        "response_format": {"type": "text"}, "user": "me", "metadata": {"a": "b"}, "stream": False,
    }  # fmt: skip
    assert client.post("/v1/chat/completions", json=body).json()["usage"]["completion_tokens"] == 4


def test_every_response_carries_its_own_request_id_and_the_model_s(client) -> None:
    responses = [client.get("/"), client.get("/nothing"), client.post("/generate", json={"prompt": "x"})]
    assert len({response.headers["X-Request-Id"] for response in responses}) == 3
    assert {response.headers["X-Towpath-Model"] for response in responses} == {"0123456789abcdef"}


def test_health_and_readiness_are_two_things(client_of) -> None:
    client = client_of()
    assert client.get("/health").json() == {"status": "ok"}
    assert client.get("/ready").json()["status"] == "ready"
    client.app.state.engine.stop()
    assert client.get("/health").status_code == 200
    assert client.get("/ready").status_code == 503
    refused = client.post("/generate", json={"prompt": "x"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "shutting_down")


def test_the_server_s_own_limit_shortens_an_answer_without_one(client_of) -> None:
    client = client_of(config=ServeConfig(max_new_tokens=7))
    assert client.post("/v1/chat/completions", json=CHAT).json()["usage"]["completion_tokens"] == 7


def test_the_api_is_described_without_a_page_that_fetches_from_elsewhere(client) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    assert {"/generate", "/v1/completions", "/v1/chat/completions"} <= set(paths)
    assert client.get("/docs").status_code == 404
