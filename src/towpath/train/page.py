"""``training.html``: a stage's curves, events and samples as one page that needs no network.

Comes in: ``log.jsonl``, ``events.jsonl`` and ``samples.jsonl`` of a stage's folder. The page is drawn from
the files alone, after each look at the model; a curve has at most a few hundred points, so its size does
not grow with the run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from towpath.core.files import write_durably
from towpath.core.metrics import read_log
from towpath.core.page import brief, curves, heading, page, paragraph, table
from towpath.train.events import EventLog
from towpath.train.looks import sample_rows, samples_of

MOST_POINTS = 400
_PICTURES = (
    ("Loss", "nats/token", ("train/loss", "validation/loss")),
    ("Bits a byte", "bits/byte", ("train/bits_per_byte", "validation/bits_per_byte")),
    ("Learning rate", "", ("train/learning_rate",)),
    ("Gradient norm", "", ("train/grad_norm",)),
    ("Tokens a second", "tokens/s", ("train/tokens_per_second",)),
    ("Utilisation and waiting for data", "share", ("train/mfu", "train/data_wait")),
)
_LAST_EVENTS, _LAST_SAMPLES = 50, 5

Points = list[tuple[float, float]]


def write_training_page(folder: Path, title: str) -> Path:
    """Draw ``training.html`` in ``folder`` anew."""
    lines: dict[str, Points] = {}
    units: dict[str, str] = {}
    for row in read_log(folder / "log.jsonl"):
        if isinstance(row["value"], int | float) and row["value"] == row["value"]:
            lines.setdefault(row["name"], []).append((row["step"], row["value"]))
            units[row["name"]] = "" if row["unit"] == "1" else row["unit"]
    body = [_summary(lines, units), *_pictures(lines), *_by_source(lines)]
    body += _events(list(EventLog(folder / "events.jsonl").rows()))
    body += _samples(sample_rows(samples_of(folder)))
    path = folder / "training.html"
    write_durably(path, page(title, body).encode())
    return path


def _summary(lines: Mapping[str, Points], units: Mapping[str, str]) -> str:
    rows = [
        (name, brief(points[-1][1]), units[name], f"{points[-1][0]:,.0f}")
        for name, points in sorted(lines.items())
    ]
    return table(("figure", "last value", "unit", "at step"), rows)


def _pictures(lines: Mapping[str, Points]) -> list[str]:
    parts = []
    for title, unit, names in _PICTURES:
        shown = {name: _thinned(lines[name]) for name in names if name in lines}
        if shown:
            parts += [heading(title), curves(shown, "steps", unit, title)]
    return parts


def _by_source(lines: Mapping[str, Points]) -> list[str]:
    """One picture for losses and one for bits a byte, a curve for each source."""
    parts = []
    for title, figure in (("Loss by source", "loss"), ("Bits a byte by source", "bits_per_byte")):
        shown = {
            name.rpartition("/")[0]: _thinned(points)
            for name, points in lines.items()
            if name.count("/") == 2 and name.endswith(f"/{figure}") and not name.startswith("evaluation/")
        }
        if shown:
            parts += [heading(title), curves(shown, "steps", "", title)]
    evaluations = {name: _thinned(points) for name, points in lines.items() if name.startswith("evaluation/")}
    if evaluations:
        parts += [heading("Evaluations"), curves(evaluations, "steps", "", "Evaluations")]
    return parts


def _events(events: Sequence[Mapping[str, Any]]) -> list[str]:
    if not events:
        return []
    rows = [
        (str(event["step"]), event["kind"], event.get("action", ""), _what(event))
        for event in events[-_LAST_EVENTS:]
    ]
    more = len(events) - len(rows)
    said = [paragraph(f"The last {len(rows)}; {more} earlier ones are in events.jsonl.")] if more else []
    return [heading("Events"), *said, table(("step", "kind", "action", "of"), rows)]


def _what(event: Mapping[str, Any]) -> str:
    if "evaluation" in event:
        return f"{event['evaluation']}: {event['error']}"
    return f"loss {event['loss']}, gradient norm {event['grad_norm']}, {event['data']}"


def _samples(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    texts = [f"<pre>step {row['step']}\n{escape(str(row['text']))}</pre>" for row in rows[-_LAST_SAMPLES:]]
    return [heading("Samples"), *reversed(texts)] if texts else []


def _thinned(points: Points) -> Points:
    """At most ``MOST_POINTS`` of ``points``: of each stretch its mean, so that no curve lies by choice."""
    size = -(-len(points) // MOST_POINTS)
    if size <= 1:
        return points
    stretches = [points[first : first + size] for first in range(0, len(points), size)]
    return [(part[-1][0], sum(value for _, value in part) / len(part)) for part in stretches]
