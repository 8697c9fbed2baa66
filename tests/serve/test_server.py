from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from towpath.core.errors import ServeError
from towpath.serve.config import ServeConfig, is_loopback, read_api_key
from towpath.serve.server import listening, url_of

from .doubles import events, posted

KEY = "a-key-of-more-than-16-characters"

PROGRAM = """
import sys
sys.path.insert(0, {tests!r})
import doubles
import towpath.serve.server as server

server.load_model = lambda path, config: doubles.FakeModel(step_seconds=0.01)
server.serve("ignored", server.ServeConfig(port=0, drain_seconds=10))
print("ended well")
"""


@pytest.fixture(autouse=True)
def _no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TOWPATH_API_KEY", raising=False)


def test_importing_the_room_loads_neither_fastapi_nor_torch() -> None:
    code = (
        "import sys, towpath.serve; towpath.serve.ServeConfig(); "
        "sys.exit(bool({'fastapi', 'starlette', 'uvicorn', 'torch'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True), ("127.1.2.3", True), ("::1", True), ("localhost", True),
        ("0.0.0.0", False), ("::", False), ("192.168.0.2", False), ("example.org", False), ("", False),
    ],
)  # fmt: skip
def test_only_addresses_of_this_machine_are_loopback(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.0.2", ""])
def test_an_address_that_lets_others_in_needs_a_key(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ServeError, match=r"needs an API key.*export TOWPATH_API_KEY=.*or keep serve\.host"):
        read_api_key(ServeConfig(host=host))
    monkeypatch.setenv("TOWPATH_API_KEY", KEY)
    assert read_api_key(ServeConfig(host=host)) == KEY


def test_this_machine_needs_no_key() -> None:
    assert read_api_key(ServeConfig()) is None


def test_a_key_may_come_from_a_file_and_the_environment_comes_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = ServeConfig(api_key_file=tmp_path / "key")
    with pytest.raises(ServeError, match="cannot be read"):
        read_api_key(config)
    (tmp_path / "key").write_text("\n")
    with pytest.raises(ServeError, match="is empty"):
        read_api_key(config)
    (tmp_path / "key").write_text(f"{KEY}\n")
    assert read_api_key(config) == KEY
    monkeypatch.setenv("TOWPATH_API_KEY", KEY + "2")
    assert read_api_key(config) == KEY + "2"


@pytest.mark.parametrize("key", ["short", "a key with spaces in it", "schlüssel-schlüssel"])
def test_a_weak_key_is_refused_without_showing_it(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOWPATH_API_KEY", key)
    with pytest.raises(ServeError, match="takes 16 or more") as raised:
        read_api_key(ServeConfig())
    assert key not in str(raised.value)


def test_a_port_in_use_is_told_with_another_that_is_free() -> None:
    with listening(ServeConfig(port=0)) as first:
        port = first.getsockname()[1]
        with pytest.raises(ServeError, match=rf"Port {port} on 127\.0\.0\.1 is in use") as raised:
            with listening(ServeConfig(port=port)):
                pass
        offered = int(str(raised.value).rpartition("=")[2].rstrip("."))
        with listening(ServeConfig(port=offered)):
            pass


def test_an_address_of_another_machine_is_told() -> None:
    with (
        pytest.raises(ServeError, match="no address of this machine"),
        listening(ServeConfig(host="192.0.2.1")),
    ):
        pass
    with (
        pytest.raises(ServeError, match="no address of this machine"),
        listening(ServeConfig(host="no.such.invalid")),
    ):
        pass


def test_pieces_of_an_answer_are_sent_at_once() -> None:
    with listening(ServeConfig(port=0)) as listener:
        assert listener.proto == socket.IPPROTO_TCP, "asyncio sets TCP_NODELAY on such sockets only"


def test_the_url_is_one_to_open() -> None:
    with listening(ServeConfig(port=0)) as listener:
        assert url_of(listener) == f"http://127.0.0.1:{listener.getsockname()[1]}"
    if socket.has_ipv6:
        with listening(ServeConfig(host="::1", port=0)) as listener:
            assert url_of(listener) == f"http://[::1]:{listener.getsockname()[1]}"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_server_well_and_the_answer_in_progress_too(number: int) -> None:
    program = PROGRAM.format(tests=str(Path(__file__).parent))
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        [sys.executable, "-c", program], env=environment, stdout=-1, stderr=-1, text=True
    ) as process:
        assert process.stderr is not None
        line = process.stderr.readline()
        assert line.startswith("towpath serves fake at http://127.0.0.1:")
        url = line.split()[4]
        with posted(f"{url}/v1/completions", {"prompt": "x", "stream": True}) as response:
            stream = events(response)
            next(stream)
            process.send_signal(number)
            assert list(stream)[-1] == "[DONE]"
        out, err = process.communicate(timeout=20)
        assert (process.returncode, out, err) == (0, "ended well\n", "")
