"""``report.md`` and ``report.html`` of a run: data mix, curves, samples, scores, time, on one page."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from towpath.core import page
from towpath.core.artifacts import FOLDER_ID_LENGTH
from towpath.core.files import write_durably
from towpath.core.metrics import read_log

if TYPE_CHECKING:
    from towpath.recipes.path import Path as RunPath

PLAN = "plan.json"
"""The plan of the run as ``towpath run`` told it, beside ``run.toml``."""


def write_report(path: RunPath) -> Path:
    """Write the report of what ``path`` has made so far. Returns its place."""
    parts = [
        ("Documents", _waterfall(path)),
        ("Scores on held-out text", _scores(path)),
        ("Plan against fact", plan_against_fact(path)),
    ]
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


def plan_against_fact(path: RunPath) -> str:
    """What was planned of the pre-training, what it took, and by how much they differ."""
    checkpoint, place = path.made.get("train"), path.run.path / PLAN
    if checkpoint is None or not place.exists():
        return ""
    plan = json.loads(place.read_bytes())
    folder = path.run.stage("train", checkpoint.id)
    rows = list(read_log(folder / "log.jsonl"))
    speeds = [row["value"] for row in rows if row["name"] == "train/tokens_per_second"]
    planned = plan["tokens_a_step"] / plan["seconds_a_step"] if plan["seconds_a_step"] else None
    beside = sum(plan["memory"].get(name, 0) for name in ("framework", "allocator"))  # of a measured machine
    saves = sorted((folder / "checkpoints").glob("step-*"))
    compared = [
        ("parameters", plan["parameters"], checkpoint.counts.get("parameters")),
        ("tokens/s", planned, median(speeds) if speeds else None),
        ("tensors, bytes", sum(plan["memory"].values()) - beside, None),
        ("peak memory, bytes", plan["peak_bytes"] if beside else None, _last(rows, "train/memory")),
        ("a save, bytes", plan["disk"]["checkpoint"], _folder_bytes(saves[-1]) if saves else None),
        ("bits/byte", (plan["loss"] or {}).get("bits_per_byte"), _last(rows, "validation/bits_per_byte")),
    ]
    lines = [f"{'':<20}{'plan':>18}{'fact':>18}{'plan/fact':>11}"]
    for name, told, fact in compared:
        shown = "".join(f"{'-' if number is None else _figure(number):>18}" for number in (told, fact))
        ratio = f"{told / fact:>11.3f}" if told and fact else ""
        lines.append(f"{name:<20}{shown}{ratio}")
    return "\n".join(lines)


def _figure(number: float) -> str:
    return f"{number:,.3f}" if number < 100 else f"{number:,.0f}"


def _last(rows: Sequence[Mapping[str, Any]], name: str) -> float | None:
    return next((row["value"] for row in reversed(rows) if row["name"] == name), None)


def _folder_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


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
    body = []
    for name, lines in curves.items():
        body += [page.heading(name), page.curves(lines, "optimizer step", "nats/token", "loss by step")]
        body += [
            "<ul>",
            *(f"<li>{html.escape(line.removeprefix('- '))}</li>" for line in samples[name]),
            "</ul>",
        ]
    for heading, text in parts:
        if text:
            body += [page.heading(heading), f"<pre>{html.escape(text)}</pre>"]
    body += [page.heading("Artifacts"), "<ul>"]
    body += [
        f"<li>{name}: <code>{html.escape(str(item.path))}</code></li>" for name, item in path.made.items()
    ]
    return page.page(f"Run {path.config.name}", [*body, "</ul>"])
