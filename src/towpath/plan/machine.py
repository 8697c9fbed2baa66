"""What this machine does in a second and what its allocator keeps, measured once and remembered.

``calibration`` starts one process that measures matrix products and memory, then trains a few steps of
small models, each in a fork of it; the plan's models of time and memory are fitted to those. Under a
minute on an idle core. The result lies in ``cache/plan-<key>.json`` of the home folder, where the key
is of processor, torch, number of threads and the C library: when one of them changes, it is measured
anew.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import torch
from pydantic import TypeAdapter

from towpath.core.errors import TowpathError
from towpath.core.files import canonical_json, readable_json, write_durably
from towpath.core.runs import environment
from towpath.model.config import ModelConfig
from towpath.plan.memory import resident_peak
from towpath.plan.timing import fit_seconds, seconds_of
from towpath.plan.trace import Trace, trace_step
from towpath.train.config import TrainConfig


@dataclass(frozen=True)
class Trial:
    """A few real steps of a model (``towpath.plan.trial``) and what they took."""

    layers: int
    batch_size: int
    steps: int
    seconds: float
    """Of a step: the median of those after the first."""
    peak_bytes: int
    time_ratio: float
    """Seconds of a step over those that were told."""
    more_bytes: int
    """Of memory, than were told."""


_VERSION = 4
"""Another number measures anew: what is fitted, or how, has changed."""


def _probe(model: dict[str, Any], batch_size: int, **train: Any) -> dict[str, Any]:
    settings = {"batch_size": batch_size, "gradient_accumulation_steps": 1, "device": "cpu", **train}
    return {"model": model, "train": settings, "steps": 3}


def _sizes(kind: str, width: int, layers: int, context: int, vocabulary: int, **more: Any) -> dict[str, Any]:
    sizes = {"type": kind, "n_embd": width, "n_layer": layers, "n_head": width // 64}
    return {**sizes, "n_positions": context, "vocab_size": vocabulary, **more}


_MUON = {"type": "muon"}
PROBES = [
    _probe(_sizes("gpt2", 64, 2, 64, 1024, dropout=0.0), 2),
    _probe(_sizes("gpt2", 256, 3, 256, 4096, dropout=0.0), 4),
    _probe(_sizes("modern", 192, 3, 256, 1024), 8, optimizer=_MUON),
    _probe(_sizes("modern", 384, 2, 128, 16384, tie_embeddings=False), 4),
    _probe(_sizes("gpt2", 384, 2, 1024, 2048, dropout=0.0), 1),
    _probe(_sizes("gpt2", 128, 2, 512, 1024, dropout=0.1), 4),
    _probe(_sizes("modern", 256, 4, 128, 4096), 4, optimizer=_MUON, gradient_checkpointing=True),
    _probe(_sizes("modern", 256, 2, 512, 4096), 4, gradient_checkpointing=True),
    _probe(_sizes("gpt2", 512, 2, 256, 8192, dropout=0.0), 2),
    _probe(_sizes("modern", 512, 1, 64, 1024), 2, optimizer=_MUON),
]
"""Small models that differ in what their steps are made of."""


@dataclass(frozen=True)
class Machine:
    """What was measured. Seconds are of one process with ``threads`` threads."""

    processor: str
    threads: int
    torch: str
    matmul_flops: float
    """Operations a second of fp32 products of 1024 x 1024 matrices."""
    bandwidth: float
    """Bytes a second, read and written, of a copy larger than the caches."""
    baseline_bytes: int
    """Resident before a model is there: Python, torch, its kernels."""
    pinned_share: float
    """See ``towpath.plan.memory``."""
    weights: Mapping[str, float]
    """See ``towpath.plan.timing``."""
    worst_time_error: float
    worst_memory_error: float
    """Largest relative errors of the fits on what they were fitted to."""
    measured_in_seconds: float
    trial: Trial | None = None
    """What ``weights`` were corrected by, and memory is."""

    def corrected(self, trial: Trial) -> Machine:
        """This machine, so that it tells of the trial what the trial took."""
        weights = {name: weight * trial.time_ratio for name, weight in self.weights.items()}
        return replace(self, weights=weights, trial=trial)

    def seconds(self, trace: Trace) -> float:
        """Of one training step."""
        return seconds_of(trace.costs, self.weights)

    def peak_bytes(self, trace: Trace) -> int:
        """Most resident memory of a process that trains."""
        more = self.trial.more_bytes if self.trial else 0
        return self.baseline_bytes + resident_peak(trace.events, self.pinned_share) + more


def calibration(home: Path, threads: int | None = None, *, again: bool = False) -> Machine:
    """This machine as measured, now or before."""
    threads = threads or torch.get_num_threads()
    before = None if again else calibration_of_before(home, threads)
    if before:
        return before
    machine = _measured(threads)
    key = _key(threads)
    path = _place(home, key)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_durably(path, readable_json({"key": key, "machine": asdict(machine)}))
    return machine


def calibration_of_before(home: Path, threads: int | None = None) -> Machine | None:
    """This machine as it was measured before; None where it never was, or something has changed."""
    key = _key(threads or torch.get_num_threads())
    path = _place(home, key)
    if not path.exists():
        return None
    found = json.loads(path.read_bytes())
    return Machine(**found["machine"]) if found["key"] == key else None


def _place(home: Path, key: Mapping[str, Any]) -> Path:
    return home / "cache" / f"plan-{hashlib.sha256(canonical_json(key)).hexdigest()[:12]}.json"


def _key(threads: int) -> dict[str, Any]:
    here = environment()
    libraries = {"torch": str(torch.__version__), "libc": " ".join(platform.libc_ver())}
    return {"version": _VERSION, "threads": threads, "processor": here["processor"], **libraries}


def _measured(threads: int) -> Machine:
    start = time.monotonic()
    found = answer(threads, "towpath.plan.probe", str(threads), json.dumps(PROBES))
    alone = answer(threads, "towpath.plan.measure", json.dumps(PROBES[0]))
    traces = [_trace_of(probe) for probe in PROBES]
    seconds = [median(run["seconds"][1:]) for run in found["runs"]]
    weights = fit_seconds([trace.costs for trace in traces], seconds)
    told = [seconds_of(trace.costs, weights) for trace in traces]
    peaks = [run["peak_bytes"] for run in found["runs"]]
    share, memory_error = _fit_memory(traces, peaks)
    return Machine(
        processor=environment()["processor"],
        threads=threads,
        torch=str(torch.__version__),
        matmul_flops=found["matmul_flops"],
        bandwidth=found["bandwidth"],
        # A fork's resident memory lacks the files that it shares; a process alone has them.
        baseline_bytes=alone["peak_bytes"] - resident_peak(traces[0].events, share),
        pinned_share=share,
        weights=weights,
        worst_time_error=max(abs(t / s - 1) for t, s in zip(told, seconds, strict=True)),
        worst_memory_error=memory_error,
        measured_in_seconds=time.monotonic() - start,
    )


def _trace_of(probe: Mapping[str, Any]) -> Trace:
    model = TypeAdapter(ModelConfig).validate_python(probe["model"])
    return trace_step(model, TrainConfig.model_validate(probe["train"]))


def answer(threads: int, *module_and_arguments: str) -> dict[str, Any]:
    """What a module prints, run in a process of its own with ``threads`` threads.

    Raises:
        TowpathError: the process failed, with the end of what it said.
    """
    surroundings = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    command = [sys.executable, "-m", *module_and_arguments]
    ran = subprocess.run(command, capture_output=True, text=True, env=surroundings, check=False)
    if ran.returncode:
        raise TowpathError(f"This machine could not be measured for the plan: {ran.stderr.strip()[-500:]}")
    return json.loads(ran.stdout)


def _fit_memory(traces: Sequence[Trace], peaks: Sequence[int]) -> tuple[float, float]:
    """The share of pinned blocks with the smallest worst relative error, and that error."""
    best = (0.0, float("inf"))
    for share in (0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4):
        heaps = [resident_peak(trace.events, share) for trace in traces]
        baseline = median(peak - heap for peak, heap in zip(peaks, heaps, strict=True))
        error = max(abs((baseline + heap) / peak - 1) for peak, heap in zip(peaks, heaps, strict=True))
        if error < best[1]:
            best = (share, error)
    return best
