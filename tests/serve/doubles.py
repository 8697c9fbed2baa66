"""A model of a few lines that can wait, fail and be counted, and a real server around it."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPResponse
from typing import Any
from urllib.parse import urlsplit

from towpath.serve.app import build_app
from towpath.serve.config import ServeConfig
from towpath.serve.server import Server, listening, url_of
from towpath.serve.text_model import Message, Settings

LOCAL = "http://127.0.0.1"


@dataclass
class Step:
    text: str
    finish_reason: str | None = None


@dataclass
class FakeModel:
    """Tokens are characters. It says the items of ``says`` again and again, one a step.

    ``gate``: when given, each step waits for one release of it. ``fails_on``: a prompt that raises.
    """

    says: Sequence[str] = "To be, or not to be. "
    ends: bool = False
    gate: threading.Semaphore | None = None
    step_seconds: float = 0.0
    fails_on: str = "FAIL"
    id: str = "0123456789abcdef"
    name: str = "fake"
    parameters: int = 1_234_567
    context_tokens: int = 256
    roles: tuple[str, ...] = ("system", "user", "assistant")
    made: int = 0
    asked: list[Settings] = field(default_factory=list)

    def encode(self, text: str) -> list[int]:
        return [ord(character) for character in text] or [0]

    def encode_chat(self, messages: Sequence[Message]) -> list[int]:
        return self.encode("".join(f"{message.role}: {message.content}\n" for message in messages))

    def generate(self, prompt_ids: Sequence[int], settings: Settings) -> Iterator[Step]:
        self.asked.append(settings)
        if "".join(map(chr, prompt_ids)).find(self.fails_on) >= 0:
            raise RuntimeError("the fake model was told to fail")
        text = self.says if self.ends else list(self.says) * settings.max_tokens
        for position in range(settings.max_tokens):
            if self.gate is not None:
                self.gate.acquire()
            time.sleep(self.step_seconds)
            self.made += 1
            if position + 1 == len(text):
                yield Step(text[position], "stop")
                return
            yield Step(text[position], "length" if position + 1 == settings.max_tokens else None)


@dataclass
class Live:
    """A server on a loopback port."""

    url: str
    model: FakeModel
    server: Server


@contextmanager
def running(model: FakeModel, config: ServeConfig, api_key: str | None) -> Iterator[Live]:
    with listening(config) as listener:
        server = Server(build_app(model, config, api_key), config, "ready")
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        until(lambda: server.started)
        yield Live(url_of(listener), model, server)
        server.should_exit = True
        thread.join(timeout=10)
        assert not thread.is_alive(), "the server did not stop"


@contextmanager
def posted(url: str, content: bytes | Iterable[bytes] | dict[str, Any]) -> Iterator[HTTPResponse]:
    """The response to a POST, as it comes; an iterable is sent in chunks, a dictionary as JSON."""
    parts = urlsplit(url)
    connection = HTTPConnection(parts.netloc, timeout=30)
    body = json.dumps(content).encode() if isinstance(content, dict) else content
    connection.request("POST", parts.path, body, {"Content-Type": "application/json"})
    with closing(connection), connection.getresponse() as response:
        yield response


def events(response: Iterable[bytes]) -> Iterator[str]:
    """The data of server-sent events as they come."""
    return (line.decode().strip().removeprefix("data: ") for line in response if line.strip())


def until(true: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait for ``true``, or fail."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.005)
