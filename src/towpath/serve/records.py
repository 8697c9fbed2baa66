"""RequestRecord: what was answered when, by which model, how fast. Never the text itself.

One line of ``requests.jsonl`` a request that reached the engine. Its ``id`` is in the answer's
``X-Request-Id`` header, its ``model`` is the checkpoint's id, its ``seed`` repeats the answer.
"""

from __future__ import annotations

import json
import logging
import os
import threading
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from towpath.core.errors import ServeError
from towpath.serve.engine import Job

log = logging.getLogger("towpath.serve")

RECORDS_FILE = "requests.jsonl"


@dataclass(frozen=True, slots=True)
class RequestRecord:
    """One request that reached the engine, once it has ended."""

    id: str
    """The X-Request-Id of the response."""
    time: str
    """When it ended: ISO 8601, UTC."""
    endpoint: str
    """Path of the API."""
    model: str
    """Id of the checkpoint."""
    prompt_tokens: int
    completion_tokens: int
    finish_reason: str
    """stop, length, time, cancelled, waited, shutdown or error."""
    temperature: float
    seed: int
    queue_ms: float
    """From its arrival to its turn, or to its end when its turn did not come."""
    first_token_ms: float | None
    """From its arrival to its first token."""
    latency_ms: float
    """From its arrival to its end."""


def record_of(job: Job, model_id: str) -> RequestRecord:
    """The record of an ended ``job``."""
    assert job.ended is not None
    assert job.finish is not None
    return RequestRecord(
        id=job.id,
        time=datetime.now(UTC).isoformat(timespec="milliseconds"),
        endpoint=job.endpoint,
        model=model_id,
        prompt_tokens=len(job.prompt_ids),
        completion_tokens=job.completion_tokens,
        finish_reason=job.finish,
        temperature=job.settings.temperature,
        seed=job.settings.seed,
        queue_ms=_milliseconds(job.submitted, job.started or job.ended),
        first_token_ms=job.first_token and _milliseconds(job.submitted, job.first_token),
        latency_ms=_milliseconds(job.submitted, job.ended),
    )


def _milliseconds(start: float, end: float) -> float:
    return round((end - start) * 1000, 3)


class RecordFile:
    """Appends records to ``requests.jsonl`` in ``folder``, each in one write. Its owner alone may read it."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / RECORDS_FILE
        self._lock = threading.Lock()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._handle = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ServeError(
                f"serve.records_folder: {self.path} cannot be written: {error.strerror}. "
                "Choose another folder, or leave the setting out to keep no records."
            ) from error

    def append(self, record: RequestRecord) -> None:
        """Write ``record``. A full disk loses the record and says so; the answer goes out all the same."""
        line = json.dumps(asdict(record)) + "\n"
        try:
            with self._lock:
                os.write(self._handle, line.encode())
        except OSError as error:
            log.error("%s: a record was lost: %s", self.path, error.strerror)

    def close(self) -> None:
        """Close the file."""
        os.close(self._handle)
