"""Memory that goes back to the system."""

from __future__ import annotations

import subprocess
import sys

import pytest

SCRIPT = """
import torch
from towpath.train.precision import give_memory_back
given = give_memory_back()
def held():
    return int(open("/proc/self/statm").read().split()[1]) * 4096
many = [torch.ones(1 << 21) for _ in range(20)]
top = held()
del many[::2]
print(given, top - held())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc alone has mallopt")
def test_what_is_freed_between_others_goes_back_to_the_system() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    given, size_bytes = done.stdout.split()
    assert given == "True"
    assert int(size_bytes) > 9 * 8 * 2**20
