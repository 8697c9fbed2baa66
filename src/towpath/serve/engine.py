"""The engine: one worker thread answers one request at a time, in order, from a bounded queue.

The event loop submits jobs and reads their texts; the worker makes tokens and sends each through
the job's own channel. It looks at a job between tokens, so a cancelled one costs at most one token
more. Whatever a job raises ends that job alone. The worker never waits for a client: what a slow
one has not taken yet is kept, and is bounded by the answer's length.
"""

from __future__ import annotations

import asyncio
import logging
import math
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Literal

from towpath.serve.config import ServeConfig
from towpath.serve.text_model import Settings, TextModel

log = logging.getLogger("towpath.serve")

Finish = Literal["stop", "length", "time", "cancelled", "waited", "shutdown", "error"]
"""Why a job ended: the answer was complete (stop, length), its time was up (time), its client had
gone (cancelled), its turn did not come (waited), the server stopped (shutdown), or it failed."""

MAX_RETRY_SECONDS = 60


class QueueFullError(Exception):
    """As many requests wait as may; ``retry_seconds`` is when there may be room."""

    def __init__(self, waiting: int, retry_seconds: int) -> None:
        super().__init__(f"{waiting} requests are waiting")
        self.waiting = waiting
        self.retry_seconds = retry_seconds


class StoppingError(Exception):
    """The engine takes no new requests: the server is shutting down."""


class Job:
    """One request in the engine: made on the event loop, filled by the worker, read on the loop."""

    def __init__(self, identifier: str, endpoint: str, prompt_ids: list[int], settings: Settings) -> None:
        self.id = identifier
        self.endpoint = endpoint
        self.prompt_ids = prompt_ids
        self.settings = settings
        self.completion_tokens = 0
        self.finish: Finish | None = None
        self.submitted = time.monotonic()
        self.started: float | None = None
        self.first_token: float | None = None
        self.ended: float | None = None
        self.stop_asked: Finish | None = None
        self._loop = asyncio.get_running_loop()
        self._texts: asyncio.Queue[str | None] = asyncio.Queue()

    async def texts(self) -> AsyncIterator[str]:
        """The answer's text as it is made, texts that are ready at once joined; then see ``finish``."""
        while (text := await self._texts.get()) is not None:
            while not self._texts.empty():
                following = self._texts.get_nowait()
                if following is None:
                    yield text
                    return
                text += following
            yield text

    def deliver(self, text: str | None) -> None:
        """Hand a text to the reader; None is the end. Called from any thread."""
        with suppress(RuntimeError):  # the loop is closed: nobody reads any more
            self._loop.call_soon_threadsafe(self._texts.put_nowait, text)


class Engine:
    """Runs the jobs of ``model``. ``on_end`` is called once for each job, before its reader learns of it."""

    def __init__(self, model: TextModel, config: ServeConfig, on_end: Callable[[Job], None]) -> None:
        self.model = model
        self.config = config
        self.on_end = on_end
        self._waiting: deque[Job] = deque()
        self._running: Job | None = None
        self._stopping = False
        self._changed = threading.Condition()
        self._last_progress = time.monotonic()
        self._mean_seconds = 1.0
        self._thread = threading.Thread(target=self._work, name="towpath-engine", daemon=True)

    @property
    def waiting(self) -> int:
        """Requests in the queue."""
        return len(self._waiting)

    @property
    def running(self) -> int:
        """Requests being answered: 0 or 1."""
        return int(self._running is not None)

    def start(self) -> None:
        """Start the worker."""
        self._thread.start()

    def submit(self, job: Job) -> None:
        """Queue ``job``. Call it on the event loop.

        Raises:
            QueueFullError: as many requests wait as may.
            StoppingError: the server is shutting down.
        """
        with self._changed:
            if self._stopping:
                raise StoppingError
            if len(self._waiting) + self.running > self.config.queue_size:
                raise QueueFullError(len(self._waiting), self._retry_seconds())
            self._waiting.append(job)
            self._changed.notify()
        asyncio.get_running_loop().call_later(self.config.queue_seconds, self._give_up, job)

    def cancel(self, job: Job, reason: Finish = "cancelled") -> None:
        """End ``job`` now when it waits, before its next token when it runs; no effect when it ended."""
        with self._changed:
            if job not in self._waiting:
                job.stop_asked = job.stop_asked or reason
                return
            self._waiting.remove(job)
        self._end(job, reason)

    def refuse_new(self) -> None:
        """Take no further jobs; those that wait or run go on."""
        with self._changed:
            self._stopping = True
            self._changed.notify()

    def stop(self) -> None:
        """End every job at its next token and let the worker finish."""
        self.refuse_new()
        with self._changed:
            jobs = [*self._waiting, *filter(None, [self._running])]
        for job in jobs:
            self.cancel(job, "shutdown")
        if self._thread.ident is not None:
            self._thread.join(timeout=5.0)

    def stalled_seconds(self) -> float:
        """How long the running job has made no token; infinite when the worker is dead."""
        if not self._thread.is_alive():
            return math.inf
        return time.monotonic() - self._last_progress if self._running is not None else 0.0

    def _give_up(self, job: Job) -> None:
        with self._changed:
            if job in self._waiting:
                self.cancel(job, "waited")

    def _retry_seconds(self) -> int:
        expected = self._mean_seconds * (len(self._waiting) + 1)
        return min(MAX_RETRY_SECONDS, max(1, math.ceil(expected)))

    def _work(self) -> None:
        while (job := self._next()) is not None:
            try:
                reason = self._answer(job)
            except Exception:
                log.exception("request %s failed", job.id)
                reason = "error"
            with self._changed:
                self._running = None
            self._end(job, reason)

    def _next(self) -> Job | None:
        with self._changed:
            while not self._waiting:
                if self._stopping:
                    return None
                self._changed.wait()
            self._running = self._waiting.popleft()
            self._last_progress = time.monotonic()
            return self._running

    def _answer(self, job: Job) -> Finish:
        """Make the answer of ``job`` token by token; why it ended."""
        job.started = time.monotonic()
        deadline = job.started + self.config.generation_seconds
        for step in self.model.generate(job.prompt_ids, job.settings):
            now = self._last_progress = time.monotonic()
            job.first_token = job.first_token or now
            job.completion_tokens += 1
            if step.text:
                job.deliver(step.text)
            if job.stop_asked:
                return job.stop_asked
            if step.finish_reason:
                return step.finish_reason
            if now > deadline:
                return "time"
        raise AssertionError("the model's steps ended without a finish_reason")

    def _end(self, job: Job, reason: Finish) -> None:
        job.finish, job.ended = reason, time.monotonic()
        if job.started is not None:
            self._mean_seconds += 0.2 * (job.ended - job.started - self._mean_seconds)
        try:
            self.on_end(job)
        except Exception:
            log.exception("request %s was answered but not recorded", job.id)
        job.deliver(None)
