from __future__ import annotations

import json
import socket
import time

import pytest

from towpath.serve.config import ServeConfig

from .doubles import FakeModel, posted

KEY = "a-key-of-more-than-16-characters"
ASKED = {"json": {"prompt": "x", "max_length": 2}}


@pytest.mark.parametrize("host", ["localhost", "localhost:8000", "127.0.0.1:1", "[::1]:8000", "LOCALHOST"])
def test_names_of_this_machine_pass(client, host: str) -> None:
    assert client.post("/generate", headers={"Host": host}, **ASKED).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "", "localhost.evil"]
)
def test_a_name_pointed_at_this_machine_is_turned_away(client, host: str) -> None:
    response = client.post("/generate", headers={"Host": host}, **ASKED)
    assert response.status_code == 421
    assert "serve.allowed_hosts" in response.json()["error"]["message"]


def test_a_further_name_passes_with_its_pages(client_of) -> None:
    client = client_of(config=ServeConfig(allowed_hosts=("chat.example",)))
    headers = {"Host": "chat.example", "Origin": "https://chat.example"}
    assert client.post("/generate", headers=headers, **ASKED).status_code == 200


@pytest.mark.parametrize(
    ("origin", "status"),
    [("http://127.0.0.1", 200), ("http://127.0.0.1:3000", 403), ("https://evil.example", 403), ("null", 403)],
)
def test_pages_of_other_sites_are_turned_away(client, origin: str, status: int) -> None:
    assert client.post("/generate", headers={"Origin": origin}, **ASKED).status_code == status


@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer wrong", f"Basic {KEY}", KEY, f"Bearer {KEY}x", "Bearer \xff"]
)
def test_without_the_key_nothing_is_answered_or_told(client_of, header: str | None) -> None:
    client = client_of(api_key=KEY)
    headers = {} if header is None else {"Authorization": header.encode("latin-1")}
    for path in ("/v1/models", "/metrics", "/openapi.json", "/nothing"):
        response = client.get(path, headers=headers)
        assert (response.status_code, response.json()["error"]["code"]) == (401, "invalid_api_key")
        assert response.headers["WWW-Authenticate"] == "Bearer"
    assert client.post("/generate", headers=headers, **ASKED).status_code == 401


def test_with_the_key_everything_works_and_probes_and_page_need_none(client_of) -> None:
    client = client_of(api_key=KEY)
    assert client.post("/generate", headers={"Authorization": f"bearer {KEY}"}, **ASKED).status_code == 200
    for path in ("/", "/page/chat.js", "/page/chat.css", "/health", "/ready", "/favicon.ico"):
        assert client.get(path).status_code == 200, path


def test_the_page_may_load_from_its_own_server_only(client) -> None:
    policy = client.get("/").headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "require-trusted-types-for 'script'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    assert client.get("/v1/models").headers["X-Content-Type-Options"] == "nosniff"


def test_page_files_are_named_and_typed_and_nothing_else_is_served(client) -> None:
    assert client.get("/page/chat.js").headers["Content-Type"].startswith("text/javascript")
    for path in ("/page/../config.py", "/page/%2e%2e/config.py", "/page/config.py", "/page/"):
        assert client.get(path).status_code == 404


@pytest.mark.parametrize("chunked", [True, False])
def test_a_large_body_is_answered_over_a_real_connection(live_of, chunked: bool) -> None:
    live = live_of()
    body = b"x" * 10_000_000
    content = (body[start : start + 65536] for start in range(0, len(body), 65536)) if chunked else body
    with posted(f"{live.url}/generate", content) as response:
        assert (response.status, json.load(response)["error"]["code"]) == (413, "body_too_large")
    with posted(f"{live.url}/generate", ASKED["json"]) as response:
        assert response.status == 200


def test_a_body_that_does_not_arrive_is_given_up(live_of) -> None:
    live = live_of(config=ServeConfig(port=0, client_seconds=0.2, drain_seconds=0.2))
    host, port = live.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        start = time.monotonic()
        connection.sendall(
            f"POST /generate HTTP/1.1\r\nHost: {host}\r\nContent-Length: 100\r\n\r\n{{".encode()
        )
        assert b" 408 " in connection.recv(1000)
        assert time.monotonic() - start < 5


def test_the_key_is_compared_in_constant_time(client_of, monkeypatch: pytest.MonkeyPatch) -> None:
    compared = []

    def compare(left: bytes, right: bytes) -> bool:
        compared.append((len(left), len(right)))
        return left == right

    monkeypatch.setattr("towpath.serve.guard.hmac.compare_digest", compare)
    client = client_of(FakeModel(), api_key=KEY)
    client.get("/v1/models", headers={"Authorization": "Bearer x"})
    assert compared == [(32, 32)]
