"""``report.md`` and ``report.html`` of a run: data mix, curves, samples, scores, time, on one page."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from towpath.core.artifacts import FOLDER_ID_LENGTH
from towpath.core.files import write_durably
from towpath.core.metrics import read_log

if TYPE_CHECKING:
    from towpath.recipes.path import Path as RunPath

_WIDTH, _HEIGHT, _MARGIN = 640, 240, 44
_COLORS = ("#3b6ea8", "#c2571a", "#3a7d44", "#8a3ffc")


def write_report(path: RunPath) -> Path:
    """Write the report of what ``path`` has made so far. Returns its place."""
    parts = [("Documents", _waterfall(path)), ("Scores on held-out text", _scores(path))]
    made = {item.id[:FOLDER_ID_LENGTH] for item in path.made.values()}
    folders = [folder for folder in path.run.path.glob("*-*") if folder.name.rpartition("-")[2] in made]
    curves = {folder.name: _curves(folder) for folder in sorted(folders, reverse=True)}
    samples = {folder: _samples(path.run.path / folder) for folder in curves}
    text = [f"# Run {path.config.name}", ""]
    for title, body in parts:
        if body:
            text += [f"## {title}", "", "```", body, "```", ""]
    for folder, lines in samples.items():
        text += [f"## Samples of {folder}", "", *lines, ""]
    text += ["## Artifacts", ""]
    text += [f"- {name}: `{item.path}` ({item.id})" for name, item in path.made.items()]
    write_durably(path.run.path / "report.md", "\n".join([*text, ""]).encode())
    write_durably(path.run.path / "report.html", _page(path, parts, curves, samples).encode())
    return path.run.path / "report.html"


def _waterfall(path: RunPath) -> str:
    from towpath.data import waterfall_table

    return waterfall_table(path.made["data"]) if "data" in path.made else ""


def _scores(path: RunPath) -> str:
    from towpath.evaluate.scores import table

    scores = path.made.get("evaluate")
    return table(json.loads((scores.path / "scores.json").read_bytes())) if scores else ""


def _curves(folder: Path) -> dict[str, list[tuple[int, float]]]:
    curves: dict[str, list[tuple[int, float]]] = {}
    for row in read_log(folder / "log.jsonl"):
        if row["name"] in ("train/loss", "validation/loss"):
            curves.setdefault(row["name"], []).append((row["step"], row["value"]))
    return curves


def _samples(folder: Path) -> list[str]:
    place = folder / "samples.jsonl"
    rows = [json.loads(line) for line in place.read_text().splitlines()] if place.exists() else []
    return [f"- step {row['step']}: {row['text']!r}" for row in rows]


def _page(
    path: RunPath,
    parts: Sequence[tuple[str, str]],
    curves: Mapping[str, Mapping[str, list[tuple[int, float]]]],
    samples: Mapping[str, Iterable[str]],
) -> str:
    title = html.escape(f"Run {path.config.name}")
    body = [f"<h1>{title}</h1>"]
    for name, lines in curves.items():
        body += [f"<h2>{html.escape(name)}</h2>", plot(lines, "optimizer step", "nats/token")]
        body += [
            "<ul>",
            *(f"<li>{html.escape(line.removeprefix('- '))}</li>" for line in samples[name]),
            "</ul>",
        ]
    for heading, text in parts:
        if text:
            body += [f"<h2>{heading}</h2>", f"<pre>{html.escape(text)}</pre>"]
    body += ["<h2>Artifacts</h2>", "<ul>"]
    body += [
        f"<li>{name}: <code>{html.escape(str(item.path))}</code></li>" for name, item in path.made.items()
    ]
    return _FRAME.format(title=title, body="\n".join([*body, "</ul>"]))


def plot(curves: Mapping[str, Sequence[tuple[int, float]]], x_label: str, y_label: str) -> str:
    """Curves of (step, value) as one SVG picture."""
    points = [point for curve in curves.values() for point in curve]
    if not points:
        return ""
    (x_low, x_high), (y_low, y_high) = (
        (min(point[axis] for point in points), max(point[axis] for point in points)) for axis in (0, 1)
    )

    def place(step: float, value: float) -> str:
        x = _MARGIN + (step - x_low) / max(x_high - x_low, 1) * (_WIDTH - 2 * _MARGIN)
        y = _HEIGHT - _MARGIN - (value - y_low) / max(y_high - y_low, 1e-9) * (_HEIGHT - 2 * _MARGIN)
        return f"{x:.1f},{y:.1f}"

    marks = [
        f'<text x="{_MARGIN}" y="{_HEIGHT - 8}">{x_low}</text>',
        f'<text x="{_WIDTH - _MARGIN}" y="{_HEIGHT - 8}" text-anchor="end">{x_high} {x_label}</text>',
        f'<text x="4" y="{_MARGIN}">{y_high:.2f} {y_label}</text>',
        f'<text x="4" y="{_HEIGHT - _MARGIN}">{y_low:.2f}</text>',
    ]
    for index, (name, curve) in enumerate(curves.items()):
        color = _COLORS[index % len(_COLORS)]
        line = " ".join(place(*point) for point in curve)
        marks.append(f'<polyline points="{line}" fill="none" stroke="{color}" stroke-width="2"/>')
        x, y = _WIDTH - _MARGIN, 16 + 16 * index
        marks.append(f'<text x="{x}" y="{y}" text-anchor="end" style="fill:{color}">{name}</text>')
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="loss by step">{"".join(marks)}</svg>'
    )


_FRAME = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>
:root {{ color-scheme: light dark; }}
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 2rem auto; padding: 0 1rem; }}
pre {{ overflow-x: auto; font-size: 13px; }}
svg {{ width: 100%; }}
svg text {{ font-size: 12px; fill: currentColor; }}
</style></head><body>
{body}
</body></html>
"""
