"""One process at a time: an advisory lock on a file, which the kernel drops when its holder dies."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from towpath.core.errors import ConfigError, LockedError
from towpath.core.files import disk_full_explained


@contextmanager
def locked(path: Path, what: str) -> Iterator[None]:
    """Hold the lock ``path`` while inside; ``what`` names what it guards.

    Raises:
        ConfigError: its folder can't be written to.
        DiskFullError: no room for it.
        LockedError: another process holds it; the text names that process.
    """
    try:
        with disk_full_explained(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise ConfigError(
            f"{path.parent} can't be written to ({error.strerror}). Runs and artifacts lie below ./work, or "
            "below the folder that TOWPATH_HOME names: choose one that you may write to."
        ) from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.pread(handle, 32, 0).decode(errors="replace").strip() or "unknown"
            raise LockedError(
                f"{what} is in use by process {owner}. Wait for it, or stop it; nothing was changed."
            ) from None
        with disk_full_explained(path):
            os.truncate(handle, 0)
            os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(handle)
