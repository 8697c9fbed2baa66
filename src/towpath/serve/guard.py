"""What stands before the API: request ids, security headers, Host and Origin, the API key, body size.

Plain ASGI, so that a stream passes through untouched and a client that goes is seen at once.

- Host: on a loopback address only names of this machine pass, so that a web page whose name was
  re-pointed at 127.0.0.1 (DNS rebinding) is turned away.
- Origin: a request that a browser makes for another site's page is turned away.
- Key: compared in constant time. ``/health``, ``/ready`` and the chat page need none.
- Body: refused by its declared or its actual size, and when it does not arrive in time.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import time
import uuid
from collections.abc import Callable

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from towpath.serve.config import ServeConfig, is_loopback
from towpath.serve.problems import ApiError

log = logging.getLogger("towpath.serve")

REQUEST_ID_HEADER = "X-Request-Id"
MODEL_HEADER = "X-Towpath-Model"
OPEN_PATHS = ("/", "/health", "/ready", "/favicon.ico")
OPEN_FOLDER = "/page/"
LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")
DRAIN_BYTES = 64 << 20
DRAIN_SECONDS = 5.0

CONTENT_SECURITY_POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    ]
)
_SECURITY_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Labels:
    """Gives every response its request id, the model's id and the security headers, and counts it.

    A fault of the server that nothing else answered is logged and answered here, for the same reason.
    """

    def __init__(self, app: ASGIApp, model_id: str, count: Callable[[str, int], None]) -> None:
        self.app = app
        self.model_id = model_id
        self.count = count

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = uuid.uuid4().hex
        scope.setdefault("state", {})["id"] = request_id

        started = False

        async def labelled(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                message = {**message, "headers": list(message["headers"])}
                headers = MutableHeaders(scope=message)
                headers.update(
                    {REQUEST_ID_HEADER: request_id, MODEL_HEADER: self.model_id, **_SECURITY_HEADERS}
                )
                self.count(scope["path"], message["status"])
            await send(message)

        try:
            await self.app(scope, receive, labelled)
        except Exception:
            log.exception("request %s met a fault of the server", request_id)
            if started:
                raise
            text = f"The server failed on this request; its log has it under {request_id}."
            await ApiError(500, text, code="internal_error").response()(scope, receive, labelled)


class SameSite:
    """Turns away requests by another name than this machine's, or for another site's page."""

    def __init__(self, app: ASGIApp, config: ServeConfig) -> None:
        self.app = app
        local = (*LOCAL_NAMES, config.host) if is_loopback(config.host) else ()
        self.further_names = {name.lower() for name in config.allowed_hosts}
        self.names = self.further_names | {name.lower() for name in local}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer 403 or 421."""
        problem = self.problem(Headers(scope=scope)) if scope["type"] == "http" else None
        await (problem.response() if problem else self.app)(scope, receive, send)

    def problem(self, headers: Headers) -> ApiError | None:
        """Why a request with these headers is turned away, if it is."""
        host = headers.get("host", "")
        if self.names and host_name(host) not in self.names:
            return ApiError(
                421,
                f"This server does not answer to the name {ascii(host)[:80]}. "
                "If it should, add the name to serve.allowed_hosts.",
                code="unknown_host",
            )
        origin = headers.get("origin")
        page = (origin or "").partition("://")[2]
        if origin is not None and page != host and host_name(page) not in self.further_names:
            return ApiError(
                403, f"Requests for pages of {ascii(origin)[:80]} are refused.", code="other_origin"
            )
        return None


def host_name(host: str) -> str:
    """The name in a Host header, in lower case: without port, without the brackets of IPv6."""
    name = host.partition("]")[0].removeprefix("[") if host.startswith("[") else host.partition(":")[0]
    return name.lower()


class ApiKey:
    """Asks for ``Authorization: Bearer KEY`` wherever something is answered or told."""

    def __init__(self, app: ASGIApp, key: str | None) -> None:
        self.app = app
        self.digest = None if key is None else hashlib.sha256(key.encode()).digest()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer 401."""
        if scope["type"] != "http" or self.digest is None or is_open(scope["path"]):
            return await self.app(scope, receive, send)
        scheme, _, given = Headers(scope=scope).get("authorization", "").partition(" ")
        digest = hashlib.sha256(given.strip().encode("utf-8", "surrogateescape")).digest()
        if scheme.lower() == "bearer" and hmac.compare_digest(digest, self.digest):
            return await self.app(scope, receive, send)
        text = "A valid API key is needed: send the header Authorization: Bearer KEY."
        return await ApiError(401, text, code="invalid_api_key").response()(scope, receive, send)


def is_open(path: str) -> bool:
    """Whether ``path`` needs no key."""
    return path in OPEN_PATHS or path.startswith(OPEN_FOLDER)


class BodyLimit:
    """Reads a request's body before the app does, within limits of size and time."""

    def __init__(self, app: ASGIApp, max_bytes: int, max_seconds: float) -> None:
        self.app = app
        self.max_bytes = max_bytes
        self.max_seconds = max_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on with its whole body, or answer 408 or 413."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        declared = Headers(scope=scope).get("content-length", "0")
        if int(declared) > self.max_bytes:
            return await self.refuse(scope, receive, send, more=True)
        body = bytearray()
        deadline = time.monotonic() + self.max_seconds
        more = True
        while more:
            try:
                async with asyncio.timeout(deadline - time.monotonic()):
                    message = await receive()
            except TimeoutError:
                text = f"The body did not arrive within {self.max_seconds:g} s."
                return await ApiError(408, text, code="slow_body").response()(scope, receive, send)
            if message["type"] == "http.disconnect":
                return None
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > self.max_bytes:
                return await self.refuse(scope, receive, send, more)
        return await self.app(scope, replayed(bytes(body), receive), send)

    async def refuse(self, scope: Scope, receive: Receive, send: Send, more: bool) -> None:
        """Answer 413, then take in what is still to come: a client busy sending would miss the answer."""
        text = f"The body is larger than {self.max_bytes} bytes."

        async def sent_after_draining(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["Connection"] = "close"
                return await send(message)
            await send({**message, "more_body": True})
            if more:
                await drained(receive)
            return await send({"type": "http.response.body", "body": b"", "more_body": False})

        await ApiError(413, text, code="body_too_large").response()(scope, receive, sent_after_draining)


async def drained(receive: Receive) -> None:
    """Take in the rest of a body and forget it, up to a size and a time."""
    taken = 0
    try:
        async with asyncio.timeout(DRAIN_SECONDS):
            while taken < DRAIN_BYTES:
                message = await receive()
                taken += len(message.get("body", b""))
                if not message.get("more_body", False):
                    return
    except TimeoutError:
        return


def replayed(body: bytes, receive: Receive) -> Receive:
    """A ``receive`` that gives ``body`` first, whole."""
    given = False

    async def receive_body() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive_body
