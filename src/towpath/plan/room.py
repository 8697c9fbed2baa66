"""Memory that a new process may take on this machine now."""

from __future__ import annotations

import re
from pathlib import Path


def free_memory_bytes() -> int | None:
    """What the system calls available, a container's limit less its use where that is lower; None: unsaid."""
    found = re.search(r"^MemAvailable:\s*(\d+) kB", _read("/proc/meminfo"), re.MULTILINE)
    if not found:
        return None
    free = int(found[1]) * 1024
    limit, used = (_read(f"/sys/fs/cgroup/memory.{name}").strip() for name in ("max", "current"))
    if limit.isdigit() and used.isdigit():
        free = min(free, int(limit) - int(used))
    return free


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""
