"""Events: what happened in a stage besides its figures, one line of JSON each, in ``events.jsonl``.

``{"step": 512, "kind": "loss spike", "action": "skip", "loss": 9.1, …}``. A resumed run drops the rows
after the step at which it goes on and meets the same events again, so that the file of a killed run
is that of one that was never killed. ``left_out.json`` is what a rewind must not forget: it is written
before the run goes back, and no later row or save ever takes from it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from towpath.core.files import disk_full_explained, readable_json, write_durably

Event = Mapping[str, Any]
REWIND = "rewind"
SMALLER = "smaller micro-batches"
_LASTING = (REWIND, SMALLER)
"""Actions that a file of their own remembers: a resumed run does not meet them again."""


def finite_or_text(value: float) -> float | str:
    """``value`` as JSON knows it: "nan" and "inf" are no numbers there."""
    return value if math.isfinite(value) else str(value)


class EventLog:
    """``events.jsonl`` of a stage."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def add(self, event: Event) -> None:
        """Append one row."""
        with disk_full_explained(self.path), self.path.open("a") as file:
            file.write(json.dumps(event, ensure_ascii=False) + "\n")

    def rows(self) -> Iterator[dict[str, Any]]:
        """All rows; a last one cut short by a kill is left out."""
        if self.path.exists():
            with self.path.open() as file:
                yield from (json.loads(line) for line in file if line.endswith("\n"))

    def rewind(self, step: int, lasting: Sequence[Event]) -> None:
        """Drop the rows after ``step``, but none of ``lasting``, which are all in the file afterwards."""
        if not self.path.exists() and not lasting:
            return
        kept = [row for row in self.rows() if row["step"] <= step or row.get("action") in _LASTING]
        known = {_mark(row) for row in kept}
        kept += [dict(event) for event in lasting if _mark(event) not in known]
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in kept)
        write_durably(self.path, text.encode())


def _mark(event: Event) -> tuple[Any, ...]:
    """What tells a lasting event from the others of its step."""
    return event["step"], event.get("action"), event.get("batch_size")


class LeftOut:
    """``left_out.json``: the rewinds of a stage, and the steps whose data they left out."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self.rewinds: list[Event] = []
        if path is not None and path.exists():
            self.rewinds = json.loads(path.read_bytes())["rewinds"]
        self._note()

    def __contains__(self, step: int) -> bool:
        return step in self.steps

    def add(self, event: Event, *, write: bool) -> None:
        """Leave out ``event["left_out_steps"]`` from now on; ``write``: durably."""
        self.rewinds = [*self.rewinds, event]
        self._note()
        if write and self.path is not None:
            write_durably(self.path, readable_json({"rewinds": self.rewinds}))

    def _note(self) -> None:
        self.steps = {step for event in self.rewinds for step in event["left_out_steps"]}
