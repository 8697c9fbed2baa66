"""Verdicts: what became of records so far, one number each, and which step did it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from towpath.core.artifacts import Artifact
from towpath.data.rules import CHARACTERS

if TYPE_CHECKING:
    import pyarrow as pa

    from towpath.data.cutting import Spans

TRAIN, VALIDATION, DROPPED = SPLITS = ("train", "validation", "dropped")
READING = "reading"
REMOVED = "removed_on_request"
"""The reason of documents whose text is kept nowhere."""


@dataclass(frozen=True)
class Annotated:
    """A source as records and features."""

    name: str
    records: Artifact
    features: Artifact


@dataclass(frozen=True)
class Cause:
    """Why a record is dropped, and which step does that."""

    step: str
    reason: str


@dataclass
class Verdicts:
    """What became of N records so far, in reading order, source after source."""

    rows: dict[str, int]
    """Records of each source."""
    facts: pa.Table
    """(N,): id, licence, characters, content_hash, and the columns of ``keep_by``."""
    causes: list[Cause]
    codes: np.ndarray
    """int16, (N,): place in ``causes``; -1 for what stays."""
    first: np.ndarray
    """int64, (N,): the row that each row repeats, itself if none; of E earlier documents the last one is
    -1 and the first -E."""
    cuts: dict[int, Spans] = field(default_factory=dict)
    """Row to the stretches that are cut from its text."""

    def alive(self) -> np.ndarray:
        """Rows that nothing has dropped yet."""
        return np.flatnonzero(self.codes < 0)

    def drop(self, rows: np.ndarray, cause: Cause) -> None:
        """Drop ``rows``."""
        self.codes[rows] = len(self.causes)
        self.causes.append(cause)

    def characters(self) -> np.ndarray:
        """int64, (N,): how long each text is after cuts, 0 where there is none; a copy."""
        return self.facts[CHARACTERS].combine_chunks().fill_null(0).to_numpy().copy()

    def set_characters(self, characters: np.ndarray) -> None:
        """Texts are now as long as ``characters`` says."""
        import pyarrow as pa

        place = self.facts.column_names.index(CHARACTERS)
        self.facts = self.facts.set_column(place, CHARACTERS, pa.chunked_array([characters]))

    def steps(self) -> list[dict[str, Any]]:
        """Each step in order: its name, how many records reached it, how many it took."""
        counts = np.bincount(self.codes[self.codes >= 0], minlength=len(self.causes))
        dropped = {READING: 0}
        for cause, count in zip(self.causes, counts.tolist(), strict=True):
            dropped[cause.step] = dropped.get(cause.step, 0) + count
        left, steps = len(self.codes), []
        for step, count in dropped.items():
            steps.append({"step": step, "reached": left, "dropped": count})
            left -= count
        return steps
