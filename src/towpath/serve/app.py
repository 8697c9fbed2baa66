"""The application: the API, health, figures and the chat page around one model."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.resources import files

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from towpath import __version__
from towpath.serve import api, problems
from towpath.serve.config import ServeConfig
from towpath.serve.engine import Engine, Job
from towpath.serve.guard import ApiKey, BodyLimit, Labels, SameSite
from towpath.serve.metrics import CONTENT_TYPE, Metrics
from towpath.serve.problems import ApiError
from towpath.serve.records import RecordFile, record_of
from towpath.serve.text_model import TextModel

STALLED_SECONDS = 60.0
"""A model that makes no token for this long is not ready."""

COUNTED_PATHS = {
    "/", "/generate", "/v1/models", "/v1/completions", "/v1/chat/completions",
    "/health", "/ready", "/metrics",
}  # fmt: skip
"""Paths with a figure of their own; a path that a client makes up must not make a new one."""

PAGE_TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}


def build_app(model: TextModel, config: ServeConfig, api_key: str | None = None) -> FastAPI:
    """The application that answers with ``model``. Its engine is ``app.state.engine``.

    Raises:
        ServeError: ``config.records_folder`` cannot be written.
    """
    records = RecordFile(config.records_folder) if config.records_folder else None

    def on_end(job: Job) -> None:
        metrics.observe(job)
        if records is not None:
            records.append(record_of(job, model.id))

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        engine.start()
        yield
        engine.stop()
        if records is not None:
            records.close()

    engine = Engine(model, config, on_end)
    metrics = Metrics(engine)
    # The pages that FastAPI would serve at /docs fetch their scripts from elsewhere.
    app = FastAPI(
        title="towpath",
        responses=problems.RESPONSES,
        version=__version__,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        redirect_slashes=False,
    )
    app.state.engine = engine
    app.include_router(api.router(engine, int(time.time())))
    problems.install(app)
    add_operations(app, engine, metrics)
    add_page(app)

    def count(path: str, status: int) -> None:
        metrics.responses.add(path=path if path in COUNTED_PATHS else "other", status=str(status))

    app.add_middleware(BodyLimit, config.max_body_bytes, config.client_seconds)
    app.add_middleware(ApiKey, api_key)
    app.add_middleware(SameSite, config)
    app.add_middleware(Labels, model.id, count)  # added last: it comes first
    return app


def add_operations(app: FastAPI, engine: Engine, metrics: Metrics) -> None:
    """Add ``/health``, ``/ready`` and ``/metrics``."""

    @app.get("/health")
    async def health() -> dict[str, str]:
        """The process is alive."""
        return {"status": "ok"}

    @app.get("/ready")
    async def ready() -> JSONResponse:
        """The model answers: its worker is alive and not stuck."""
        stalled = engine.stalled_seconds()
        if stalled > STALLED_SECONDS:
            raise ApiError(503, f"The model has made no token for {stalled:.0f} s.", code="not_ready")
        return JSONResponse({"status": "ready", "model": engine.model.id})

    @app.get("/metrics", response_class=PlainTextResponse)
    async def figures() -> Response:
        """Figures for Prometheus."""
        return Response(metrics.render(), headers={"Content-Type": CONTENT_TYPE})


def add_page(app: FastAPI) -> None:
    """Add the chat page and its files, read once from the package."""
    folder = files("towpath.serve") / "page"
    page = {
        item.name: Response(item.read_bytes(), media_type=PAGE_TYPES[item.name.rpartition(".")[2]])
        for item in folder.iterdir()
        if item.name.rpartition(".")[2] in PAGE_TYPES
    }
    for response in page.values():
        response.headers["Cache-Control"] = "no-cache"

    @app.get("/", include_in_schema=False)
    async def index() -> Response:
        return page["index.html"]

    @app.get("/favicon.ico", include_in_schema=False)
    async def icon() -> Response:
        return page["icon.svg"]

    @app.get("/page/{name}", include_in_schema=False)
    async def page_file(request: Request, name: str) -> Response:
        if name not in page:
            raise ApiError(404, f"There is nothing at {request.url.path}.", code="not_found")
        return page[name]
