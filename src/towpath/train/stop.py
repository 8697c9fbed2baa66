"""Stopping politely: SIGTERM, SIGINT and SIGUSR1 are answered after the step at hand, with a checkpoint.

SIGUSR1 is what a scheduler sends before it takes the machine away.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from towpath.core.errors import TowpathError

STOPS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)


class StoppedError(TowpathError):
    """Training was asked to stop, and stopped after saving."""

    def __init__(self, text: str, number: int) -> None:
        super().__init__(text)
        self.exit_code = 128 + number


class BrokenOffError(BaseException):
    """A signal came while something was done that can be done again; not for ``except Exception``."""


class StopRequest:
    """Becomes true when a signal asks to stop; the second one stops at once."""

    def __init__(self) -> None:
        self.number: int | None = None
        self._breaks = False

    def __call__(self) -> bool:
        """Whether a stop was asked for."""
        return self.number is not None

    def receive(self, number: int, frame: FrameType | None) -> None:
        """Handle one signal."""
        if self.number is not None:
            raise KeyboardInterrupt
        self.number = number
        if self._breaks:
            raise BrokenOffError

    @contextmanager
    def breaking_off(self) -> Iterator[None]:
        """A signal ends what is done inside at once; one that came before does not let it begin.

        Raises:
            BrokenOffError: a signal came.
        """
        if self.number is not None:
            raise BrokenOffError
        self._breaks = True
        try:
            yield
        finally:
            self._breaks = False


@contextmanager
def stop_request() -> Iterator[StopRequest]:
    """Listen for ``STOPS`` while inside; outside the main thread nothing is listened to."""
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    before = {number: signal.signal(number, request.receive) for number in STOPS}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
