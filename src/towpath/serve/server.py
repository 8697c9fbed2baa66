"""Start-up and shutdown: address, key, model, then uvicorn until SIGTERM or Ctrl+C.

The port is taken before the model is loaded, so that a port in use is told at once.
"""

from __future__ import annotations

import asyncio
import errno
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn

from towpath.core.errors import ServeError
from towpath.serve.app import build_app
from towpath.serve.checkpoint_model import load_model
from towpath.serve.config import ServeConfig, read_api_key
from towpath.serve.engine import Engine

PORTS_TO_TRY = 20
BACKLOG = 512
KEEP_ALIVE_SECONDS = 15


def serve(checkpoint: str | Path, config: ServeConfig | None = None) -> None:
    """Serve ``checkpoint`` until SIGTERM or Ctrl+C; one line on standard error says where.

    Raises:
        ServeError: the address cannot be used, or the API key is missing or unfit.
        ArtifactError: the checkpoint is missing or damaged.
    """
    config = config or ServeConfig()
    api_key = read_api_key(config)
    with listening(config) as listener:
        model = load_model(Path(checkpoint), config)
        app = build_app(model, config, api_key)
        server = Server(app, config, f"towpath serves {model.name} at {url_of(listener)} (Ctrl+C stops it)")
        with graceful_signals():
            server.run(sockets=[listener])


class Server(uvicorn.Server):
    """Uvicorn that says when it is ready, and lets answers in progress end when it stops."""

    def __init__(self, app: Any, config: ServeConfig, ready_line: str) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                ws="none",
                lifespan="on",
                backlog=BACKLOG,
                timeout_keep_alive=KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=round(config.drain_seconds) + 2,
            )
        )
        self.engine: Engine = app.state.engine
        self.drain_seconds = config.drain_seconds
        self.ready_line = ready_line

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to accept requests."""
        await super().startup(sockets)
        print(self.ready_line, file=sys.stderr, flush=True)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept no more; end what runs within ``drain_seconds``, then tell the rest that it is over."""
        self.engine.refuse_new()
        asyncio.get_running_loop().call_later(self.drain_seconds, self.engine.stop)
        await super().shutdown(sockets)


@contextmanager
def graceful_signals() -> Iterator[None]:
    """Uvicorn raises a signal again once it has stopped; here that is the end of a good run."""
    known = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in known.items():
            signal.signal(number, handler)


@contextmanager
def listening(config: ServeConfig) -> Iterator[socket.socket]:
    """A socket that listens on the address of ``config``.

    Raises:
        ServeError: the address is in use, forbidden, or not of this machine.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            config.host, config.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except socket.gaierror as error:
        raise ServeError(
            f"serve.host = {config.host!r} is no address of this machine. Try '127.0.0.1'."
        ) from error
    # With the protocol named, asyncio sends each piece at once (TCP_NODELAY): 40 ms less an answer.
    with socket.socket(family, kind, protocol) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
            listener.listen(BACKLOG)
        except OSError as error:
            raise ServeError(_cannot_listen(config, error)) from error
        yield listener


def _cannot_listen(config: ServeConfig, error: OSError) -> str:
    where = f"{config.host}:{config.port}"
    if error.errno == errno.EADDRINUSE:
        return (
            f"Port {config.port} on {config.host} is in use. Choose another: serve.port={_free_port(config)}."
        )
    if error.errno == errno.EACCES:
        return f"{where} is not allowed to this user. Choose a port above 1023: serve.port=8000."
    if error.errno == errno.EADDRNOTAVAIL:
        return f"serve.host = {config.host!r} is no address of this machine. Try '127.0.0.1'."
    return f"Cannot listen on {where}: {error.strerror}."


def _free_port(config: ServeConfig) -> int:
    """A port near the one in use that is free now; 0, which takes any, when there is none."""
    for port in range(config.port + 1, min(config.port + PORTS_TO_TRY, 65535) + 1):
        with socket.socket() as trial:
            if trial.connect_ex(("127.0.0.1", port)) != 0:
                return port
    return 0


def url_of(listener: socket.socket) -> str:
    """The URL to open for a socket that listens."""
    address: tuple[str, int] = listener.getsockname()[:2]
    host, port = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address[0], address[0]), address[1]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
