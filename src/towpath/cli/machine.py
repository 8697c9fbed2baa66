"""What this machine has: processor, memory, disk, GPUs, torch, packages, compiler.

``facts`` gives plain JSON types and judges nothing; ``towpath.cli.doctor`` does.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any

from towpath.core.runs import environment, home_folder

FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile", "amx_int8", "amx_bf16")
"""What makes matrix products of an x86 processor fast."""
EXTRAS = {
    "samples": "the text of the recipe tiny",
    "hf": "models to and from transformers",
    "ray": 'data.engine = "ray"',
}


def facts() -> dict[str, Any]:
    """What this machine has, as plain JSON types. Imports torch and times it, so it takes seconds."""
    surroundings = environment()
    return {
        **{name: surroundings[name] for name in ("towpath", "python", "platform", "processor", "cores")},
        "cpu_flags": _cpu_flags(),
        "memory": _memory(surroundings["memory_bytes"]),
        "disk": _disk(home_folder().absolute()),
        "network": _network(),
        "torch": _torch(),
        "attention": _attention(),
        "nvidia_smi": _nvidia_smi(),
        "compiler": _compiler(),
        "packages": _packages(),
    }


def _cpu_flags() -> dict[str, bool] | None:
    """Which of ``FLAGS`` the processor has; None on a processor that does not say."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return None
    line = re.search(r"^flags\s*:(.*)$", text, re.MULTILINE)
    return {flag: flag in line[1].split() for flag in FLAGS} if line else None


def _memory(installed_bytes: int) -> dict[str, int | None]:
    """Memory that this process may use: a container's limit where it is lower than the machine's."""
    total = installed_bytes
    for limit in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        text = _read(limit).strip()
        if text.isdigit():
            total = min(total, int(text))
    free = re.search(r"^MemAvailable:\s*(\d+) kB", _read("/proc/meminfo"), re.MULTILINE)
    return {"total_bytes": total, "free_bytes": min(total, int(free[1]) * 1024) if free else None}


def _disk(home: Path) -> dict[str, Any]:
    """The volume that holds ``home``, or will hold it."""
    there = next(path for path in (home, *home.parents) if path.exists())
    usage = shutil.disk_usage(there)
    return {
        "home": str(home),
        "kind": _disk_kind(there.stat().st_dev),
        "writable": os.access(there, os.W_OK),
        "total_bytes": usage.total,
        "free_bytes": usage.free,
    }


def _disk_kind(device: int, blocks: Path = Path("/sys/dev/block")) -> str | None:
    """NVMe, SSD, spinning or virtual; None where the system does not say, as in a container."""
    place = (blocks / f"{os.major(device)}:{os.minor(device)}").resolve()
    disk = place.parent if (place / "partition").exists() else place
    turns = _read(str(disk / "queue/rotational")).strip()
    if not turns:
        return None
    if disk.name.startswith("vd") or disk.name.startswith("xvd"):
        return "virtual"  # its host knows
    return "spinning" if turns == "1" else "NVMe" if disk.name.startswith("nvme") else "SSD"


def _network(interfaces: Path = Path("/sys/class/net")) -> dict[str, Any]:
    """The fastest link that is up, by what its adapter says; nothing is sent."""
    links = {}
    for link in interfaces.iterdir() if interfaces.is_dir() else ():
        speed = _read(str(link / "speed")).strip()
        if _read(str(link / "operstate")).strip() == "up" and link.name != "lo":
            links[link.name] = int(speed) * 10**6 if speed.isdigit() and int(speed) else None
    name = max(links, key=lambda name: links[name] or 0, default=None)
    return {"link": name, "bits_per_second": links[name] if name else None}


def _torch() -> dict[str, Any]:
    try:
        import torch
    except (ImportError, OSError) as error:
        return {"version": None, "error": str(error).partition("\n")[0], "gpus": []}
    gpus = []
    for index in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        about = torch.cuda.get_device_properties(index)
        gpus.append(
            {
                "name": about.name,
                "memory_bytes": about.total_memory,
                "compute_capability": f"{about.major}.{about.minor}",
            }
        )
    return {
        "version": str(torch.__version__),
        "threads": torch.get_num_threads(),
        "cuda_version": torch.version.cuda,
        "gpus": gpus,
        "matmul_flops": _matmul_flops("cuda" if gpus else "cpu"),
    }


def _attention() -> dict[str, str]:
    """The table of attention backends: which runs a training step of 2,048 tokens here, and why."""
    try:
        import torch

        from towpath.model.backends import explain
        from towpath.model.backends.case import Case
        from towpath.model.sight import Sight
    except (ImportError, OSError):
        return {}
    gpu = torch.cuda.is_available()
    dtype = torch.bfloat16 if gpu else torch.float32
    case = Case(2048, 2048, "cuda" if gpu else "cpu", dtype, differentiated=True)
    lines = explain(Sight(causal=True), case).splitlines()
    return {name: verdict.strip() for name, _, verdict in (line.partition(" ") for line in lines)}


def _matmul_flops(device: str) -> float:
    """Operations a second of square matrix products: fp32 on a CPU, 16 bits on a GPU. Best of five."""
    import torch

    size, kind = (1024, torch.float32) if device == "cpu" else (8192, torch.float16)
    matrix = torch.randn(size, size, generator=torch.Generator().manual_seed(0)).to(device, kind)
    best = float("inf")
    for _ in range(5):
        start = time.perf_counter()
        torch.matmul(matrix, matrix)
        if device == "cuda":
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - start)
    return 2 * size**3 / best


def _nvidia_smi() -> dict[str, Any] | None:
    """The driver's own account, which needs no torch; None where there is no driver."""
    answer = _answer("nvidia-smi", "--query-gpu=driver_version,name", "--format=csv,noheader")
    rows = [line.split(", ", 1) for line in (answer or "").splitlines() if ", " in line]
    return {"driver": rows[0][0], "names": [name for _, name in rows]} if rows else None


def _compiler() -> str | None:
    """First line of what the C++ compiler says of itself."""
    for command in (os.environ.get("CXX"), "c++", "g++", "clang++"):
        if command and (answer := _answer(command, "--version")):
            return answer.partition("\n")[0]
    return None


def _packages() -> dict[str, dict[str, str | None]]:
    """Versions of what towpath depends on, by extra; "" is what it can't do without."""
    found: dict[str, dict[str, str | None]] = {"": {}, **{extra: {} for extra in EXTRAS}}
    for requirement in requires("towpath") or ():
        name = re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0]
        extra = re.search(r'extra == "(\w+)"', requirement)
        if (group := extra[1] if extra else "") in found:
            found[group][name] = _version(name)
    return found


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _answer(*command: str) -> str | None:
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout if answer.returncode == 0 else None


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""
