"""A stage whose settings or parents changed is another one: what differs is said, nothing is mixed.

The folder of a stage is named by what it means, so changed settings never go on from its checkpoints:
they start anew beside them. ``meaning.json`` in each folder keeps what it means, so that a person who
expected the run to go on reads what differs, with both values, and where the earlier one lies.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from towpath.core.artifacts import Artifact
from towpath.core.files import readable_json, write_durably
from towpath.core.processes import is_first

MEANING = "meaning.json"
_SHOWN = 6
_OF_PARENTS = {
    "tokens": "the data or the tokenizer changed",
    "tokenizer": "its settings or the data changed",
    "documents": "the sources or how they are cleaned changed",
    "checkpoint": "the model to tune is another one",
}


def tell_what_differs(folder: Path, meaning: Mapping[str, Any], parents: Sequence[Artifact]) -> None:
    """Keep what the stage in ``folder`` means; where it starts beside an earlier one, say what differs."""
    if not is_first():
        return
    means = {"settings": meaning, "parents": {parent.kind: parent.id for parent in parents}}
    earlier = None if (folder / MEANING).exists() else _newest_beside(folder)
    write_durably(folder / MEANING, readable_json(means))
    if earlier is None:
        return
    found = list(_differences(json.loads((earlier / MEANING).read_bytes()), means))
    more = [f"and {len(found) - _SHOWN} more"] if len(found) > _SHOWN else []
    print(
        f"train: this is not the run whose checkpoints are in {earlier}, and it starts anew in {folder}. "
        "What differs:\n  " + "\n  ".join([*found[:_SHOWN], *more]) + "\n"
        "  To go on with the earlier one, take these back; it stays as it is.",
        file=sys.stderr,
    )


def _newest_beside(folder: Path) -> Path | None:
    """The stage of this kind in the same run that saved last."""
    kind = folder.name.rpartition("-")[0]
    saved = []
    for other in folder.parent.glob(f"{kind}-*"):
        saves = list(other.glob("checkpoints/step-*"))
        if saves and other != folder and (other / MEANING).exists():
            saved.append((max(path.stat().st_mtime_ns for path in saves), other))
    return max(saved)[1] if saved else None


def _differences(earlier: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    before, after = dict(_leaves(earlier["settings"])), dict(_leaves(now["settings"]))
    for name in sorted({*before, *after}):
        values = [_text(table[name]) if name in table else "nothing" for table in (before, after)]
        if values[0] != values[1]:
            yield f"{name}: {values[0]} there, {values[1]} here"
    for kind, identifier in now["parents"].items():
        if (old := earlier["parents"].get(kind)) != identifier:
            yield f"{kind}: {old} there, {identifier} here; {_OF_PARENTS.get(kind, 'it is another one')}"


def _leaves(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from _leaves(item, f"{prefix}.{name}" if prefix else str(name))
    else:
        yield prefix, value


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
