"""Kernels under AddressSanitizer and UBSan, called through their Python in a process of their own.

A test calls ``check`` with a package of kernels and a module whose ``main`` calls each of them; a read or
write out of bounds, an overflow of signed numbers or a bad shift ends that process with a report.
Leaks are not looked for: the interpreter has its own.
"""

from __future__ import annotations

import ctypes
import os
import random
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
FLAGS = ("-std=c++17", "-O1", "-g", "-fPIC", "-shared", "-fno-exceptions", "-fno-rtti")
SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")


def check(package: str, driver: str, folder: Path) -> None:
    """Compile the kernels of ``package`` into ``folder`` and run ``main`` of ``driver`` with them."""
    if shutil.which("g++") is None:
        pytest.skip("no g++ to compile the kernels with sanitizers")
    sources = sorted((ROOT / "src" / package.replace(".", "/")).glob("*.cpp"))
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(lambda source: _compile(source, folder / f"{source.stem}.so"), sources))
    code = f"from tests.sanitized import run; run({package!r}, {driver!r}, {str(folder)!r})"
    preloaded = subprocess.check_output(["g++", "-print-file-name=libasan.so"], text=True).strip()
    environment = {
        **os.environ,
        "LD_PRELOAD": preloaded,
        "ASAN_OPTIONS": "detect_leaks=0",
        "UBSAN_OPTIONS": "print_stacktrace=1",
        "PYTHONMALLOC": "malloc",
        "PYTHONPATH": str(ROOT),
    }
    answer = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr[-6000:]
    assert answer.stdout.split() == [source.stem for source in sources], "a kernel was not called"


def _compile(source: Path, library: Path) -> None:
    subprocess.run(["g++", *FLAGS, *SANITIZERS, str(source), "-o", str(library)], check=True)


def run(package: str, driver: str, folder: str) -> None:
    """In the other process: put the kernels in place, run the driver, print the names of those used."""
    from towpath.core import native

    used: set[str] = set()

    def library(asked: str, name: str) -> ctypes.CDLL | None:
        assert asked == package
        used.add(name)
        return ctypes.CDLL(f"{folder}/{name}.so")

    native.library = library  # before the driver imports it by name
    import_module(driver).main()
    print(*sorted(used), sep="\n")


def any_texts(real: bytes, alphabet: bytes) -> list[bytes]:
    """Random bytes, ``real`` text whole and mutated, runs of ``alphabet``, nothing, and extremes."""
    chance = random.Random(5)
    texts = [chance.randbytes(size) for size in (1, 7, 64, 5_000)]
    texts += [real, real[: len(real) // 2 + 1], b"", b"'", "ſ".encode()[:1], "🙂".encode()[:3], b"\0" * 70]
    for _ in range(20):
        changed = bytearray(real)
        for _ in range(len(real) // 50):
            changed[chance.randrange(len(real))] = chance.randrange(256)
        start = chance.randrange(len(real))
        texts.append(bytes(changed[start : start + chance.randrange(2_000)]))
    texts += [bytes(chance.choices(alphabet, k=size)) for size in (3, 50, 500, 4_001) for _ in range(5)]
    texts += [bytes([byte]) * 3_000 for byte in alphabet]
    return texts


def buffers(texts: list[bytes]) -> tuple[np.ndarray, np.ndarray]:
    """Offsets, int64 (N + 1,), and bytes, in arrays without a byte to spare."""
    offsets = np.zeros(len(texts) + 1, np.int64)
    np.cumsum([len(text) for text in texts], out=offsets[1:])
    return offsets, np.frombuffer(b"".join(texts), np.uint8).copy()
