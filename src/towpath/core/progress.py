"""Progress of long work on standard error: a bar on a terminal, a line every 30 seconds elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

LINE_SECONDS = 30.0


class Progress(Protocol):
    """What long work reports to."""

    def advance(self, amount: int = 1) -> None:
        """So much more is done."""

    def note(self, text: str) -> None:
        """Show ``text`` beside the count, for example the newest loss."""

    def say(self, text: str) -> None:
        """Print a line of its own."""


class _Bar:
    def __init__(self, what: str, total: int | None, unit: str, done: int) -> None:
        from tqdm import tqdm

        self.bar = tqdm(
            desc=what,
            total=total,
            initial=done,
            unit=f" {unit}",
            unit_scale=True,
            dynamic_ncols=True,
            leave=True,
        )

    def advance(self, amount: int = 1) -> None:
        self.bar.update(amount)

    def note(self, text: str) -> None:
        self.bar.set_postfix_str(text, refresh=False)

    def say(self, text: str) -> None:
        self.bar.write(text, file=sys.stderr)

    def close(self) -> None:
        self.bar.close()


class _Lines:
    def __init__(self, what: str, total: int | None, unit: str, done: int) -> None:
        self.what, self.total, self.unit = what, total, unit
        self.first = self.done = done
        self.text = ""
        self.start = self.last = time.monotonic()

    def advance(self, amount: int = 1) -> None:
        self.done += amount
        if time.monotonic() - self.last >= LINE_SECONDS:
            self._print("")

    def note(self, text: str) -> None:
        self.text = text

    def say(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    def close(self) -> None:
        self._print(", done")

    def _print(self, ending: str) -> None:
        self.last = time.monotonic()
        seconds = self.last - self.start
        parts = [f"{self.done:,}" + (f" of {self.total:,}" if self.total else "") + f" {self.unit}"]
        parts.append(f"{seconds:.0f} s")
        rate = (self.done - self.first) / seconds if seconds > 0 else 0.0
        if self.total and rate > 0 and not ending:
            parts.append(f"about {(self.total - self.done) / rate:.0f} s left")
        if self.text:
            parts.append(self.text)
        print(f"{self.what}: {', '.join(parts)}{ending}", file=sys.stderr, flush=True)


class Silence:
    """Progress that nobody sees: of all processes of a job but the first."""

    def advance(self, amount: int = 1) -> None:
        """See ``Progress``."""

    def note(self, text: str) -> None:
        """See ``Progress``."""

    def say(self, text: str) -> None:
        """See ``Progress``."""


@contextmanager
def progress(what: str, total: int | None = None, unit: str = "items", done: int = 0) -> Iterator[Progress]:
    """Report ``what``: ``done`` of ``total`` ``unit`` at the start."""
    reporter = (_Bar if sys.stderr.isatty() else _Lines)(what, total, unit, done)
    try:
        yield reporter
    finally:
        reporter.close()
