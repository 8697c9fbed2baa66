"""Server-sent events that stop when the client goes, and the same watch for plain answers.

Starlette's own StreamingResponse notices a client that has gone only while it sends, on newer ASGI
versions; here the connection is watched all the time, so a job is cancelled while it waits, too.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from typing import Any, TypeVar

from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

T = TypeVar("T")

DONE = "data: [DONE]\n\n"


def event(value: Mapping[str, Any]) -> str:
    """One server-sent event that carries ``value`` as JSON."""
    return f"data: {json.dumps(value, separators=(',', ':'))}\n\n"


async def gone(receive: Receive) -> None:
    """Return when the client has gone. The request's body must have been read."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def unless_gone(receive: Receive, work: Coroutine[Any, Any, T]) -> T | None:
    """What ``work`` returns; None, with ``work`` cancelled, when the client goes before."""
    working, watching = asyncio.ensure_future(work), asyncio.ensure_future(gone(receive))
    try:
        await asyncio.wait({working, watching}, return_when=asyncio.FIRST_COMPLETED)
        return working.result() if working.done() else None
    finally:
        working.cancel()
        watching.cancel()
        await asyncio.gather(working, watching, return_exceptions=True)


class EventStream(Response):
    """Sends ``events`` as they come. ``on_close`` is called when all are sent, or the client has gone.

    A client that takes nothing for ``client_seconds`` counts as gone.
    """

    media_type = "text/event-stream"

    def __init__(
        self, events: AsyncIterator[str], on_close: Callable[[], None], client_seconds: float
    ) -> None:
        self.status_code = 200
        self.background = None
        self.events = events
        self.on_close = on_close
        self.client_seconds = client_seconds
        self.init_headers({"Cache-Control": "no-cache", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response."""
        try:
            await unless_gone(receive, self._send_all(send))
        except TimeoutError:
            return
        finally:
            self.on_close()

    async def _send_all(self, send: Send) -> None:
        await self._send(send, {"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        async for text in self.events:
            await self._send(send, {"type": "http.response.body", "body": text.encode(), "more_body": True})
        await self._send(send, {"type": "http.response.body", "body": b"", "more_body": False})

    async def _send(self, send: Send, message: Message) -> None:
        async with asyncio.timeout(self.client_seconds):
            await send(message)
