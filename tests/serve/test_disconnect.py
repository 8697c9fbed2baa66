"""A client that goes stops its generation, streamed or not, running or waiting."""

from __future__ import annotations

import json
import socket
import threading
from contextlib import closing

import pytest

from towpath.serve.config import ServeConfig

from .doubles import FakeModel, Live, events, posted, until

TOKENS = 200


@pytest.fixture
def gate() -> threading.Semaphore:
    return threading.Semaphore(0)


def sent(live: Live, path: str, body: dict) -> socket.socket:
    """A connection with a request on its way."""
    content = json.dumps(body).encode()
    host, port = live.url.removeprefix("http://").split(":")
    head = f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
    connection = socket.create_connection((host, int(port)), timeout=10)
    connection.sendall(f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content)
    return connection


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/generate", {"prompt": "x", "max_length": TOKENS}),
        ("/v1/completions", {"prompt": "x", "max_tokens": TOKENS}),
        ("/v1/completions", {"prompt": "x", "max_tokens": TOKENS, "stream": True}),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "x"}], "stream": True}),
    ],
)
def test_a_client_that_goes_costs_one_more_token_at_most(live_of, gate, path: str, body: dict) -> None:
    live = live_of(FakeModel(gate=gate))
    connection = sent(live, path, body)
    gate.release(5)
    until(lambda: live.model.made == 5)
    job = live.server.engine._running
    connection.close()
    until(lambda: job.stop_asked == "cancelled")
    gate.release(TOKENS)
    until(lambda: job.finish is not None)
    assert job.finish == "cancelled"
    assert live.model.made <= 6


def test_a_client_that_goes_while_it_waits_leaves_the_queue(live_of, gate) -> None:
    live = live_of(FakeModel(gate=gate))
    engine = live.server.engine
    with closing(sent(live, "/generate", {"prompt": "first", "max_length": 8})) as first:
        until(lambda: engine.running == 1)
        second = sent(live, "/v1/completions", {"prompt": "second", "stream": True})
        until(lambda: engine.waiting == 1)
        second.close()
        until(lambda: engine.waiting == 0)
        gate.release(3)
        assert b"200 OK" in first.recv(1000)
    assert len(live.model.asked) == 1


def test_a_stream_arrives_token_by_token(live_of, gate) -> None:
    live = live_of(FakeModel(says="abc", ends=True, gate=gate))
    body = {"prompt": "x", "stream": True}
    with posted(f"{live.url}/v1/completions", body) as response:
        stream = events(response)
        for expected in "abc":
            gate.release()
            assert json.loads(next(stream))["choices"][0]["text"] == expected


def test_a_client_that_does_not_read_does_not_hold_up_the_others(live_of) -> None:
    live = live_of(FakeModel(says=["many characters in a token " * 100], context_tokens=5000))
    deaf = sent(live, "/v1/completions", {"prompt": "x", "max_tokens": 2000, "stream": True})
    until(lambda: live.model.made > 0)
    with posted(f"{live.url}/generate", {"prompt": "x", "max_length": 2}) as answer:
        assert answer.status == 200
    deaf.close()


def test_stopping_the_server_lets_a_stream_end_with_an_error(live_of, gate) -> None:
    live = live_of(FakeModel(gate=gate), ServeConfig(port=0, drain_seconds=0.1))
    with posted(f"{live.url}/v1/completions", {"prompt": "x", "stream": True}) as response:
        gate.release(2)
        until(lambda: live.model.made == 2)
        live.server.should_exit = True
        until(lambda: live.server.engine._running.stop_asked == "shutdown")
        gate.release(10)
        assert '"code":"shutting_down"' in response.read().decode()


def test_stopping_the_server_lets_an_answer_finish(live_of) -> None:
    live = live_of(FakeModel(step_seconds=0.01), ServeConfig(port=0, drain_seconds=10))
    with posted(f"{live.url}/v1/completions", {"prompt": "x", "stream": True}) as response:
        until(lambda: live.model.made > 0)
        live.server.should_exit = True
        assert response.read().decode().endswith("data: [DONE]\n\n")
