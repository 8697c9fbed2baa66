"""Two network namespaces joined by a cable, as two machines are: for processes that are cut off (Linux)."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_CLONE_NEWNET = 0x40000000
_INTERFACE = "cable"


def missing() -> str | None:
    """What namespaces need and is not here."""
    if os.geteuid() != 0 or not shutil.which("ip"):
        return "network namespaces need root and ip (Debian: iproute2)"
    tried = subprocess.run(["unshare", "--net", "true"], capture_output=True, check=False)
    return "this machine forbids network namespaces" if tried.returncode else None


class Cable:
    """Its ends lie in two namespaces, one for each rank."""

    def __init__(self) -> None:
        self.ends = [f"towpath-{os.getpid()}-{rank}" for rank in (0, 1)]
        self.variables = {"MASTER_ADDR": _address(0), "GLOO_SOCKET_IFNAME": _INTERFACE}

    def lay(self) -> None:
        """Make the namespaces and join them."""
        for name in self.ends:
            _ip("netns", "add", name)
        one, other = self.ends
        _ip("link", "add", _INTERFACE, "netns", one, "type", "veth", "peer", _INTERFACE, "netns", other)
        for rank, name in enumerate(self.ends):
            _ip("-n", name, "address", "add", f"{_address(rank)}/24", "dev", _INTERFACE)
            for interface in ("lo", _INTERFACE):
                _ip("-n", name, "link", "set", interface, "up")

    def enter(self, rank: int) -> None:
        """This process lives at the end of ``rank`` from here on. Call it before there are threads."""
        with Path("/var/run/netns", self.ends[rank]).open() as namespace:
            if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), _CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")

    def pull(self) -> None:
        """Nothing that is sent arrives any more."""
        _ip("-n", self.ends[1], "link", "set", _INTERFACE, "down")

    def mend(self) -> None:
        """It arrives again."""
        _ip("-n", self.ends[1], "link", "set", _INTERFACE, "up")

    def remove(self) -> None:
        """Leave nothing behind."""
        for name in self.ends:
            subprocess.run(["ip", "netns", "delete", name], check=False)


@contextmanager
def cable() -> Iterator[Cable]:
    """A cable while it lasts."""
    laid = Cable()
    try:
        laid.lay()
        yield laid
    finally:
        laid.remove()


def _address(rank: int) -> str:
    return f"10.99.0.{rank + 1}"


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)
