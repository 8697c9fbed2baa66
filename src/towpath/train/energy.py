"""Energy: the joules that processors and GPUs have used so far, by their own counters.

Processors: Intel's and AMD's RAPL through Linux, ``/sys/class/powercap/*/energy_uj``, which counts whole
packages and so whatever else runs on them, and which most systems let root alone read. GPUs: NVIDIA's
management library (NVML), ``nvmlDeviceGetTotalEnergyConsumption``, whole cards. Where neither can be
read there is no figure, and the reason is said.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch

POWERCAP = Path("/sys/class/powercap")
_NVML = "libnvidia-ml.so.1"


@dataclass
class _Package:
    """One RAPL counter, which starts again at 0 after ``range_microjoules``."""

    path: Path
    range_microjoules: int
    last: int
    total: int = 0

    def joules(self) -> float:
        now = int(self.path.read_text())
        self.total += (now - self.last) % (self.range_microjoules + 1)
        self.last = now
        return self.total / 1e6


@dataclass
class Energy:
    """The counters that can be read; ``reason`` says why there are none."""

    counters: list[Callable[[], float]] = field(default_factory=list)
    reason: str = ""

    def joules(self) -> float | None:
        """Used since the counters were opened; None where there are none or one can't be read any more."""
        try:
            return sum(counter() for counter in self.counters) if self.counters else None
        except OSError as error:
            self.counters, self.reason = [], str(error)
            return None


def energy_counters(device: torch.device, powercap: Path = POWERCAP) -> Energy:
    """What can be read here: packages always, the GPU when ``device`` is one."""
    packages, reason = _packages(powercap)
    cards, card_reason = _cards(device)
    counters = [package.joules for package in packages] + cards
    return Energy(counters, "" if counters else "; ".join(filter(None, (reason, card_reason))))


def _packages(powercap: Path) -> tuple[list[_Package], str]:
    """Top zones alone: ``intel-rapl:0`` holds ``intel-rapl:0:0``."""
    zones = sorted(path for path in powercap.glob("*rapl:*") if path.name.count(":") == 1)
    if not zones:
        return [], f"{powercap} has no RAPL counter"
    try:
        return [
            _Package(zone / "energy_uj", int((zone / "max_energy_range_uj").read_text()), _read(zone))
            for zone in zones
        ], ""
    except (OSError, ValueError) as error:
        return [], f"the RAPL counter can't be read ({error}); on most systems root alone may"


def _read(zone: Path) -> int:
    return int((zone / "energy_uj").read_text())


def _cards(device: torch.device) -> tuple[list[Callable[[], float]], str]:
    if device.type != "cuda":
        return [], ""
    try:
        library = ctypes.CDLL(_NVML)
    except OSError as error:
        return [], f"NVML is not there ({error})"
    handle = ctypes.c_void_p()
    name = str(torch.cuda.get_device_properties(device).uuid)
    name = name if name.startswith("GPU-") else f"GPU-{name}"
    if library.nvmlInit_v2() or library.nvmlDeviceGetHandleByUUID(name.encode(), ctypes.byref(handle)):
        return [], f"NVML knows no card {name}"

    def joules() -> float:
        millijoules = ctypes.c_ulonglong()
        code = library.nvmlDeviceGetTotalEnergyConsumption(handle, ctypes.byref(millijoules))
        if code:
            raise OSError(f"NVML can't count the energy of {name} (code {code})")
        return millijoules.value / 1000

    try:
        start = joules()
    except OSError as error:
        return [], str(error)
    return [lambda: joules() - start], ""
