"""Decontamination: which texts share runs of words with which evaluation records, and the report of it.

Comes in: for each text the runs that it shares (``kernels.ngram_overlap``). Goes out: a row for each
task that says how many records were found, in how many texts, and shows some of them. Held in memory:
the records, and two numbers for each run that a text shares.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from towpath.data.kernels.ngram_overlap import N_WORDS, ROW, RUN, START, STOP, Records, overlaps

Span = tuple[int, int]
_RUNS_OF_AN_EXAMPLE = 1_000


@dataclass(frozen=True)
class Evaluation:
    """R records of T tasks."""

    records: Records
    ids: Sequence[str]
    task_of: np.ndarray
    """int64, (R,): the task of each record."""


class Contamination:
    """What texts share with the records of an evaluation.

    ``shared`` is int64, (M, 2): a text and a run that stands in it, each pair once, sorted.
    """

    def __init__(self, evaluation: Evaluation, shared: np.ndarray) -> None:
        self._evaluation, self._shared = evaluation, shared
        own = overlaps(evaluation.records, evaluation.records.texts)
        of_that_length = own.hits[:, N_WORDS] == own.lengths[own.hits[:, ROW]]
        self._runs = own.hits[of_that_length]  # of each record, and where they stand in it
        self._lengths = own.lengths
        self._tasks = evaluation.task_of[self._runs[:, ROW]]

    def texts_of(self, task: int) -> np.ndarray:
        """The texts that overlap a record of ``task``, ascending."""
        of_task = np.isin(self._shared[:, 1], self._runs[self._tasks == task, RUN])
        return np.unique(self._shared[of_task, 0])

    def counts(self, task: int) -> dict[str, int]:
        """Records of ``task``: all, those too short to be looked for, those found in a text."""
        lengths = self._lengths[self._evaluation.task_of == task]
        found = self._runs[(self._tasks == task) & np.isin(self._runs[:, RUN], self._shared[:, 1])]
        ignored, n_found = int((lengths == 0).sum()), len(np.unique(found[:, ROW]))
        return {"records": len(lengths), "ignored_records": ignored, "found_records": n_found}

    def examples(self, task: int, n_examples: int) -> list[dict[str, Any]]:
        """The first texts that overlap ``task``: the text, the id of a record, the words they share."""
        mine = self._runs[self._tasks == task]
        examples = []
        for text in self.texts_of(task)[:n_examples].tolist():
            runs = self._shared[self._shared[:, 0] == text, 1]
            shared = mine[np.isin(mine[:, RUN], runs[:_RUNS_OF_AN_EXAMPLE])]
            record = int(shared[0, ROW])
            spans = merged(shared[shared[:, ROW] == record][:, START : STOP + 1])
            low, high = max(spans, key=lambda span: span[1] - span[0])
            words = self._evaluation.records.texts.bytes_of(record)[low:high].decode()
            examples.append({"text": text, "record": self._evaluation.ids[record], "shared": words})
        return examples


def merged(spans: np.ndarray) -> list[Span]:
    """``spans``, (S, 2), as the fewest that cover the same, first to last."""
    result: list[Span] = []
    for start, stop in sorted(map(tuple, spans.tolist())):
        if result and start <= result[-1][1]:
            result[-1] = (result[-1][0], max(stop, result[-1][1]))
        else:
            result.append((start, stop))
    return result
