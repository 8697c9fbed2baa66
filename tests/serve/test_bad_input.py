"""Every request that cannot be answered gets a 4xx in OpenAI's shape, and the server goes on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from towpath.serve.app import build_app
from towpath.serve.config import ServeConfig

from .doubles import LOCAL, FakeModel

JSON = {"Content-Type": "application/json"}
HI = [{"role": "user", "content": "Hi"}]


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    """One server for all: what one request does to it shows in those after it."""
    with TestClient(build_app(FakeModel(), ServeConfig()), LOCAL, raise_server_exceptions=False) as client:
        yield client


def error_of(client: TestClient, path: str, status: int = 400, **request: object) -> dict[str, str]:
    response = client.post(path, **request)  # type: ignore[arg-type]
    assert response.status_code == status, response.text
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert client.post("/generate", json={"prompt": "x", "max_length": 2}).status_code == 200, (
        "the server did not go on"
    )
    return error


@pytest.mark.parametrize("length", [0, 1, -1, -(10**30), 257, 10**9, 10**30])
def test_a_length_out_of_range_names_the_range(client, length: int) -> None:
    error = error_of(client, "/generate", json={"prompt": "x", "max_length": length})
    assert "max_length must be from 2 to 256 here, prompt included" in error["message"]
    assert str(length)[:20] in error["message"]
    assert error["param"] == "max_length"


def test_a_limit_beyond_what_the_prompt_leaves_names_all_numbers(client) -> None:
    error = error_of(client, "/v1/completions", json={"prompt": "x" * 200, "max_tokens": 57})
    for text in ("from 1 to 56", "it is 57", "context is 256", "prompt takes 200"):
        assert text in error["message"]


def test_a_chat_s_limit_is_named_as_it_was_given(client) -> None:
    error = error_of(client, "/v1/chat/completions", json={"messages": HI, "max_completion_tokens": 9999})
    assert error["param"] == "max_completion_tokens"


def test_a_prompt_longer_than_the_context_names_both_numbers(client) -> None:
    error = error_of(client, "/generate", json={"prompt": "x" * 256})
    assert "The prompt has 256 tokens" in error["message"]
    assert "context is 256" in error["message"]
    assert error["code"] == "context_length_exceeded"


def test_a_chat_longer_than_the_context_says_what_to_do(client_of, model: FakeModel) -> None:
    client = client_of(model)
    messages = [{"role": "user", "content": "x" * 100}] * 3
    error = error_of(client, "/v1/chat/completions", json={"messages": messages})
    assert "Leave out its oldest turns" in error["message"]
    assert "context is 256" in error["message"]
    assert [asked.max_tokens for asked in model.asked] == [1], "only the check that follows was answered"


def test_a_server_may_take_shorter_prompts_only(client_of) -> None:
    client = client_of(config=ServeConfig(max_prompt_tokens=10))
    error = error_of(client, "/generate", json={"prompt": "x" * 11})
    assert "has 11 tokens; this server takes prompts of at most 10" in error["message"]


@pytest.mark.parametrize(
    ("field", "value", "text"),
    [
        ("temperature", -0.1, "from 0 to 2; it is -0.1"),
        ("temperature", 1e9, "from 0 to 2"),
        ("temperature", "0.5", "valid number"),
        ("temperature", True, "valid number"),
        ("top_p", 0, "above 0 and at most 1"),
        ("top_p", 1.5, "above 0 and at most 1"),
        ("top_k", 0, "from 1 to"),
        ("repetition_penalty", 0, "from 0.1 to 10"),
        ("seed", 2**63, "it is 9223372036854775808"),
        ("seed", 1.5, "integer"),
        ("max_tokens", "100", "integer"),
        ("max_tokens", 1.5, "integer"),
        ("stop", ["a", "b", "c", "d", "e"], "up to 4"),
        ("stop", "", "none of them empty"),
        ("stop", 5, "valid string or"),
        ("n", 2, "not supported"),
        ("n", True, "not supported"),
        ("logprobs", 5, "not supported"),
        ("echo", True, "not supported"),
        ("presence_penalty", 0.5, "not supported"),
        ("logit_bias", {"1": 2}, "not supported"),
        ("prompt", ["a", "b"], "at most 1"),
        ("prompt", [], "at least 1"),
        ("prompt", None, "valid string"),
        ("prompt", [1, 2], "valid string"),
        ("stream_options", {"include_usage": True}, "stream = true"),
        ("stream", "yes", "valid boolean"),
        ("max_tokns", 5, "Did you mean 'max_tokens'?"),
    ],
)
def test_a_wrong_value_is_named_with_what_was_expected(client, field: str, value: object, text: str) -> None:
    error = error_of(client, "/v1/completions", json={"prompt": "Hi", field: value})
    assert field in error["message"]
    assert text in error["message"]


@pytest.mark.parametrize(
    ("messages", "text"),
    [
        ([], "messages: List should have at least 1"),
        ([{"role": "user"}], "messages.0.content"),
        ([{"role": "tool", "content": "x"}], "it knows system, user, assistant"),
        ([{"role": "user", "content": None}], "messages.0.content"),
        ([{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}], "messages.0.content"),
        ([{"role": "user", "content": "x", "tool_calls": [{}]}], "not supported"),
        ("Hi", "messages"),
    ],
)
def test_a_wrong_message_is_named_by_its_place(client, messages: object, text: str) -> None:
    assert text in error_of(client, "/v1/chat/completions", json={"messages": messages})["message"]


def test_both_names_of_one_limit_are_one_too_many(client) -> None:
    body = {"messages": HI, "max_tokens": 5, "max_completion_tokens": 5}
    assert "one of them" in error_of(client, "/v1/chat/completions", json=body)["message"]


def test_a_base_model_says_what_to_use_instead_of_a_chat(client_of) -> None:
    client = client_of(FakeModel(roles=()))
    error = error_of(client, "/v1/chat/completions", json={"messages": HI})
    assert error["code"] == "no_chat_template"
    assert "/v1/completions" in error["message"]


def test_another_model_is_not_found_and_the_one_there_is_named(client) -> None:
    error = error_of(client, "/v1/completions", 404, json={"model": "gpt-4", "prompt": "x"})
    assert "'gpt-4'" in error["message"]
    assert "'fake'" in error["message"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[1]",
        b"3",
        b'"text"',
        b"null",
        b'{"prompt": "\xff\xfe"}',
        b'{"prompt": "x", "temperature": NaN}',
        b'{"prompt": "x", "temperature": Infinity}',
        b'{"prompt": "x", "max_length": 1e400}',
        b'{"prompt": "x", "max_length": ' + b"9" * 5000 + b"}",
        b'{"prompt": "\\ud800"}',
        b'{"prompt": "x", "\\ud800": 1}',
        b'{"prompt": "x", "\\u0000": 1}',
        b"[" * 100_000,
        b'{"prompt":' * 50_000,
        b'{"prompt": "' + b"x" * 1000,
    ],
)
@pytest.mark.parametrize("path", ["/generate", "/v1/completions", "/v1/chat/completions"])
def test_a_body_that_is_no_request_is_refused(client, path: str, body: bytes) -> None:
    error_of(client, path, content=body, headers=JSON)


@pytest.mark.parametrize("field", ["prompt", "stop"])
def test_half_a_character_is_named_by_its_place(client, field: str) -> None:
    body = b'{"prompt": "x", "%s": "ab\\udfff"}' % field.encode()
    error = error_of(client, "/v1/completions", content=body, headers=JSON)
    assert "surrogate pair at character 2" in error["message"]


def test_nul_and_the_names_of_special_tokens_are_plain_text(client) -> None:
    response = client.post("/generate", json={"prompt": "\0<|endoftext|>", "max_length": 15})
    assert response.json()["generated_text"] == "\0<|endoftext|>T"


def test_a_body_of_another_type_is_refused(client) -> None:
    error = error_of(client, "/generate", content=b'{"prompt": "x"}', headers={"Content-Type": "text/plain"})
    assert "Content-Type: application/json" in error["message"]


@pytest.mark.parametrize("declared", [True, False])
def test_a_body_of_10_mb_is_too_large_whether_it_says_so_or_not(client, declared: bool) -> None:
    body = b"x" * 10_000_000
    content = body if declared else (body[start : start + 65536] for start in range(0, len(body), 65536))
    error = error_of(client, "/generate", 413, content=content, headers=JSON)
    assert "larger than 1048576 bytes" in error["message"]


def test_an_unknown_path_and_a_wrong_method_have_the_same_shape(client) -> None:
    assert error_of(client, "/v1/embeddings", 404)["code"] == "not_found"
    response = client.get("/generate")
    assert (response.status_code, response.json()["error"]["code"]) == (405, "method_not_allowed")


def test_a_model_that_fails_on_one_request_answers_the_next(client) -> None:
    error = error_of(client, "/generate", 500, json={"prompt": "FAIL"})
    assert error["type"] == "server_error"
    assert "told to fail" not in error["message"], "what failed inside is for the log"


def test_a_fault_of_the_server_has_the_same_shape_and_an_id(
    client_of, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = client_of()
    monkeypatch.setattr(client.app.state.engine, "submit", lambda job: 1 / 0)
    response = client.post("/generate", json={"prompt": "x"})
    assert response.status_code == 500
    assert response.headers["X-Request-Id"] in response.json()["error"]["message"]
