"""Clients of an app in this process, and of a real server on a loopback port."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from fastapi.testclient import TestClient

from towpath.serve.app import build_app
from towpath.serve.config import ServeConfig

from .doubles import LOCAL, FakeModel, Live, running


@pytest.fixture
def model() -> FakeModel:
    return FakeModel()


@pytest.fixture
def client_of() -> Iterator[Callable[..., TestClient]]:
    """Makes a client of an app in this process: ``client_of(model, config, api_key)``."""
    with ExitStack() as stack:

        def make(
            model: FakeModel | None = None, config: ServeConfig | None = None, api_key: str | None = None
        ) -> TestClient:
            app = build_app(model or FakeModel(), config or ServeConfig(), api_key)
            return stack.enter_context(TestClient(app, base_url=LOCAL, raise_server_exceptions=False))

        yield make


@pytest.fixture
def client(client_of: Callable[..., TestClient], model: FakeModel) -> TestClient:
    return client_of(model)


@pytest.fixture
def live_of() -> Iterator[Callable[..., Live]]:
    """Starts a real server on a free port: ``live_of(model, config, api_key)``."""
    with ExitStack() as stack:

        def make(
            model: FakeModel | None = None, config: ServeConfig | None = None, api_key: str | None = None
        ) -> Live:
            config = config or ServeConfig(port=0, drain_seconds=0.2)
            return stack.enter_context(running(model or FakeModel(), config, api_key))

        yield make
