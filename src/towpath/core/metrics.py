"""Metrics: one line of JSON a figure, in the run's folder; other trackers are sinks beside it.

``{"step": 500, "name": "train/loss", "value": 3.21, "unit": "nats/token"}``
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from towpath.core.files import disk_full_explained, write_durably

UNITS = {
    "loss": "nats/token",
    "perplexity": "1",
    "bits_per_byte": "bits/byte",
    "grad_norm": "1",
    "learning_rate": "1",
    "tokens_per_second": "tokens/s",
    "tokens": "tokens",
    "seconds": "s",
    "mfu": "1",
    "data_wait": "1",
    "energy": "J",
    "cost": "currency of train.price_per_hour",
    "step": "steps",
    "memory": "bytes",
    "gpu_memory": "bytes",
    "skipped": "steps",
    "scale": "1",
}


class Sink(Protocol):
    """Where metrics go besides ``log.jsonl``: an adapter of a tracker implements this one method."""

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Record figures of one optimizer step; names are like ``train/loss``."""


class MetricLog:
    """``log.jsonl`` of a stage, and any further sinks. Each row is in the file when ``log`` returns.

    A sink that raises is told nothing more; the run goes on.
    """

    def __init__(self, path: Path, sinks: tuple[Sink, ...] = ()) -> None:
        self.path = path
        self.sinks = sinks

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Append one row a metric."""
        rows = [
            {"step": step, "name": name, "value": value, "unit": UNITS.get(name.rpartition("/")[2], "1")}
            for name, value in metrics.items()
        ]
        text = "".join(json.dumps(row) + "\n" for row in rows)
        with disk_full_explained(self.path), self.path.open("a") as file:
            file.write(text)
        for sink in self.sinks:
            try:
                sink.log(step, metrics)
            except Exception as error:
                self.sinks = tuple(other for other in self.sinks if other is not sink)
                name = type(sink).__name__
                print(f"{name} gets no more figures ({error!r}); {self.path} has all.", file=sys.stderr)

    def rewind(self, step: int) -> None:
        """Drop the rows after ``step``, and a row cut short by a kill: a resumed run writes them again."""
        if not self.path.exists():
            return
        kept = [row for row in read_log(self.path) if row["step"] <= step]
        write_durably(self.path, "".join(json.dumps(row) + "\n" for row in kept).encode())


def read_log(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a ``log.jsonl``; a last line without its end is left out."""
    if not path.exists():
        return
    with path.open() as file:
        for line in file:
            if line.endswith("\n"):
                yield json.loads(line)


def peak_memory_bytes() -> int:
    """Largest resident memory of this process so far.

    Linux: VmHWM. ru_maxrss would do elsewhere only: there it begins with that of the process that
    started this one.
    """
    import resource

    with suppress(FileNotFoundError):
        status = Path("/proc/self/status").read_text()
        return 1024 * int(status.partition("VmHWM:")[2].split()[0])
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return kilobytes * (1 if os.uname().sysname == "Darwin" else 1024)
