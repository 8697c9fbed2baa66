"""The pages of a PDF, read by a process of its own (``pdf_process``) that is watched and can be lost.

PDFium is C++ over bytes that nobody vouched for: it can't be interrupted, a stream of a few kilobytes may
hold a gigabyte, and a file may end the program. So it runs beside this process, one for each, with a
limit of memory, and is killed when a page takes too long.
"""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

from towpath.core.errors import need
from towpath.data.sources.limits import TookTooLong, TooLarge

_PROGRAM = Path(__file__).with_name("pdf_process.py")
_START_SECONDS = 20.0  # on a loaded machine the interpreter alone takes seconds
_reader: _Reader | None = None


def read_answers(asked: dict[str, Any], page_seconds: float, seconds: float) -> Generator[dict[str, Any]]:
    """What ``pdf_process`` answers to ``asked``.

    Raises:
        TookTooLong: a page took longer than ``page_seconds``, or the file longer than ``seconds``.
        TooLarge: the process ended: it ran out of memory, or the file brought it down.
        MissingPackageError: pypdfium2 is not installed.
    """
    reader = _started()
    end = time.monotonic() + seconds
    reader.ask(asked)
    answer: dict[str, Any] = {}
    try:
        while "end" not in answer:
            answer = reader.answer(max(min(page_seconds, end - time.monotonic()), 0.001))
            yield answer
    finally:
        if "end" not in answer:
            reader.close()


class _Reader:
    """The process, for as long as it lives."""

    def __init__(self) -> None:
        need("pypdfium2", install="towpath[pdf]", why="type = 'pdf'")
        self.owner = os.getpid()
        self.process = subprocess.Popen(
            [sys.executable, "-P", str(_PROGRAM)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def ask(self, asked: dict[str, Any]) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(asked) + "\n")
        self.process.stdin.flush()

    def answer(self, seconds: float) -> dict[str, Any]:
        assert self.process.stdout is not None
        expired = threading.Event()

        def expire() -> None:
            expired.set()
            self.process.kill()

        timer = threading.Timer(seconds, expire)
        timer.start()
        line = self.process.stdout.readline()
        timer.cancel()
        if line.endswith("\n"):
            return json.loads(line)
        self.close()
        if expired.is_set():
            raise TookTooLong(f"A page took longer than {seconds:g} seconds, and its reader was stopped.")
        raise TooLarge("The file took more memory than its reader has, or brought it down.")

    def close(self) -> None:
        global _reader
        _reader = None
        self.process.kill()
        self.process.communicate()


def _started() -> _Reader:
    global _reader
    if _reader is None or _reader.owner != os.getpid() or _reader.process.poll() is not None:
        _reader = _Reader()
        _reader.ask({"path": "", "max_pages": 0, "max_page_chars": 0})
        _reader.answer(_START_SECONDS)
    return _reader


@atexit.register
def _close() -> None:
    if _reader is not None and _reader.owner == os.getpid():
        _reader.close()
