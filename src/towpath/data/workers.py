"""Worker processes on one machine: a function over items, several at a time.

Processes and not threads, because a source's parser or a user's filter is Python, which holds the
lock that all threads of a process share. They are started anew (spawn), since a fork of a process
with threads can hang, and they die with the process that started them, even when that is killed.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from towpath.core.errors import DataError

Item = TypeVar("Item")
Result = TypeVar("Result")

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_AHEAD = 2  # items sent for each worker, so that none waits for this process

_pool: ProcessPoolExecutor | None = None  # kept from call to call: a worker takes seconds to start
_size = 0


def each(function: Callable[[Item], Result], items: Sequence[Item], workers: int) -> Iterator[Result]:
    """``function`` of each of ``items``, in their order, in ``workers`` processes.

    One item or one worker is no reason to start a process. An error is raised as in this process,
    and then nothing is at work any more.

    Raises:
        DataError: a worker was killed, most likely for want of memory.
    """
    if len(items) < 2 or workers < 2:
        yield from map(function, items)
        return
    waiting: deque[Future[Result]] = deque()
    pool = _pool_of(workers)
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > workers * _AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool as error:
        _forget_pool()
        raise DataError(
            f"A worker process died at its work ({len(items)} tasks, {workers} workers). Most often memory "
            "ran out: set data.workers lower, or data.part_bytes. If a script of your own started this, its "
            'work has to stand below: if __name__ == "__main__":'
        ) from error
    finally:
        for future in waiting:
            future.cancel()
        wait(waiting)


def _pool_of(workers: int) -> ProcessPoolExecutor:
    global _pool, _size
    if _pool is None or _size != workers:
        _forget_pool()
        context = multiprocessing.get_context("spawn")
        _pool = ProcessPoolExecutor(workers, context, initializer=_die_with, initargs=(os.getpid(),))
        _size = workers
    return _pool


def _forget_pool() -> None:
    global _pool
    if _pool is not None:
        _pool.shutdown(cancel_futures=True)
    _pool = None


def _die_with(parent: int) -> None:
    """Make this process end when ``parent`` does, whatever ends it."""
    os.environ["OMP_NUM_THREADS"] = "1"
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    threading.Thread(target=_wait_for_the_end, args=(parent,), daemon=True).start()


def _wait_for_the_end(parent: int) -> None:
    process = multiprocessing.parent_process()
    if process is not None and process.pid == parent:
        process.join()
    os._exit(1)
