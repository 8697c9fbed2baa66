"""Earlier text: stretches of kept records that documents of earlier data sets have too, by their index alone.

Comes in: which records are still kept, and the files of fingerprints that lie in the indices of earlier
documents. Goes out: the stretches to cut from each record, which ``sorting`` does. The earlier text may
be gone. What is found for certain and what by chance is told in ``dedup.known``.

Three passes, each over tasks that run side by side: of each group of parts the fingerprints, sorted; of each
range of numbers those that stand in an earlier index too, for which every index is read once from front to
back; of each group that has some the stretches, cut to whole sentences. A task holds one group's text, or
a range of at most four million fingerprints; all else lies in files that are mapped.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from towpath.core.artifacts import Artifact
from towpath.core.texts import Texts
from towpath.data import engine
from towpath.data.config import SubstringsConfig
from towpath.data.cutting import Cut
from towpath.data.dedup.known import Known, in_both, known_spans, sorted_unique
from towpath.data.dedup.substring import whole_stretches
from towpath.data.groups import Group
from towpath.data.kernels.fingerprints import Winnowing, fingerprints
from towpath.data.parts import read_table

SUFFIX = ".fingerprints"
"""Of a file in an index beside its part: the fingerprints of the part's kept texts, as sorted unique
little-endian uint64 and nothing else."""
_KIND = np.dtype("<u8")
_IN_A_RANGE = 1 << 22


def content_of(texts: Texts, min_bytes: int) -> bytes:
    """What the file of fingerprints of ``texts`` holds; stretches of ``min_bytes`` are found by it."""
    found = fingerprints(texts, Winnowing.for_stretches(min_bytes))
    return sorted_unique(found.values).astype(_KIND).tobytes()


@dataclass(frozen=True)
class _Task:
    """A group of parts that is searched."""

    group: Group
    alive: np.ndarray
    """bool, (N,): which of its rows are searched."""
    config: SubstringsConfig
    work: Path

    @property
    def path(self) -> Path:
        """Where the fingerprints of the group lie."""
        return self.work / f"group-{self.group.start:012d}"


@dataclass(frozen=True)
class _Range:
    """The fingerprints from ``number`` to ``number + 1`` of ``n_ranges`` equal ranges of numbers."""

    number: int
    n_ranges: int
    work: Path
    earlier: tuple[Path, ...]
    """Folders of the earlier documents."""

    @property
    def path(self) -> Path:
        """Where those lie that are in ours and in theirs."""
        return self.work / f"range-{self.number:06d}"


def find_earlier_text(
    alive: np.ndarray,
    groups: Sequence[Group],
    earlier: Sequence[Artifact],
    config: SubstringsConfig,
    work: Path,
) -> Iterator[Cut]:
    """The cuts of every record that is ``alive``, bool, (N,), and of ``config.domains``.

    ``earlier`` are documents whose indices hold fingerprints for ``config.min_bytes``.
    """
    folder = work / "earlier"
    folder.mkdir(parents=True, exist_ok=True)
    tasks = [
        _Task(group, alive[group.start : group.start + group.n_rows], config, folder) for group in groups
    ]
    n_ours = sum(engine.each(_write_fingerprints, tasks))
    _write_known(folder, n_ours, [artifact.path for artifact in earlier])
    for cuts in engine.each(_search, tasks):
        yield from cuts
    shutil.rmtree(folder)


def _write_fingerprints(task: _Task) -> int:
    _, texts = _searched(task)
    content = content_of(texts, task.config.min_bytes)
    task.path.write_bytes(content)
    return len(content) // _KIND.itemsize


def _searched(task: _Task) -> tuple[np.ndarray, Texts]:
    """The rows of ``task`` that are searched, (M,), among those of all sources, and their texts."""
    import pyarrow as pa

    folder = task.group.source.records.path
    table = pa.concat_tables(
        [read_table(folder / part.name, ["text", "domain"]) for part in task.group.parts]
    )
    chosen = task.alive & np.isin(table["domain"].to_numpy(), task.config.domains)
    return np.flatnonzero(chosen) + task.group.start, Texts.of(table["text"].filter(pa.array(chosen)))


def _write_known(folder: Path, n_ours: int, earlier: Sequence[Path]) -> None:
    """Write the fingerprints of all groups that stand in an index of ``earlier`` too."""
    n_ranges = n_ours // _IN_A_RANGE + 1
    ranges = [_Range(number, n_ranges, folder, tuple(earlier)) for number in range(n_ranges)]
    with (folder / "known").open("wb") as known:
        for path in engine.each(_write_range, ranges):
            with path.open("rb") as file:
                shutil.copyfileobj(file, known)
            path.unlink()


def _write_range(task: _Range) -> Path:
    groups = [_of_range(path, task) for path in task.work.glob("group-*")]
    ours = sorted_unique(np.concatenate(groups))
    theirs = (path for folder in task.earlier for path in folder.glob(f"index/*/part-*{SUFFIX}"))
    found = in_both(ours, (_of_range(path, task) for path in theirs))
    task.path.write_bytes(ours[found].tobytes())
    return task.path


def _of_range(path: Path, task: _Range) -> np.ndarray:
    values = _mapped(path)
    bounds = [task.number * 2**64 // task.n_ranges, (task.number + 1) * 2**64 // task.n_ranges]
    start, stop = (
        len(values) if bound >= 2**64 else int(np.searchsorted(values, np.uint64(bound))) for bound in bounds
    )
    return np.array(values[start:stop])  # so that the file is let go


def _mapped(path: Path) -> np.ndarray:
    return np.memmap(path, _KIND, "r") if path.stat().st_size else np.zeros(0, _KIND)


def _search(task: _Task) -> list[Cut]:
    known = Known(_mapped(task.path.with_name("known")))
    if not known.has(_mapped(task.path)).any():
        return []
    rows, texts = _searched(task)
    min_bytes = task.config.min_bytes
    found = fingerprints(texts, Winnowing.for_stretches(min_bytes))
    spans = known_spans(found, known, texts, min_bytes)
    cuts = []
    for place, whole in enumerate(whole_stretches(texts, spans, task.config.cut)):
        if whole:
            text = texts.bytes_of(place)
            n_chars = sum(len(text[start:stop].decode()) for start, stop in whole)
            cuts.append(Cut(int(rows[place]), whole, n_chars))
    return cuts
