"""Pages: one self-contained HTML file from headings, tables and pictures. Nothing is loaded from elsewhere.

Pictures are SVG without scripts; every text that comes from data is escaped here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

COLORS = tuple(
    f"hsl({210 + 137.5 * turn:g} {65 - 25 * (turn % 2)}% {46 + 6 * (turn % 3)}%)" for turn in range(24)
)
_WIDTH, _HEIGHT, _MARGIN = 640, 240, 44
_BAR_HEIGHT, _LABEL_WIDTH, _VALUE_WIDTH = 22, 170, 130
_MOST_TICKS, _WHOLE, _LEAST_WIDTH = 6, 1000, 1e-9


def page(title: str, body: Sequence[str]) -> str:
    """A whole page; ``body`` is HTML."""
    return _FRAME.format(title=escape(title), body="\n".join(body))


def heading(text: str, level: int = 2) -> str:
    """A heading."""
    return f"<h{level}>{escape(text)}</h{level}>"


def paragraph(text: str) -> str:
    """A paragraph of plain text."""
    return f"<p>{escape(text)}</p>"


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table; cells that look like numbers stand right."""
    head = "".join(f"<th>{escape(name)}</th>" for name in columns)
    body = "".join("<tr>" + "".join(map(_cell, row)) + "</tr>" for row in rows)
    return (
        f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
        if rows
        else ""
    )


def _cell(text: str) -> str:
    number = text[:1].isdigit() or text[:1] in "-−" or not text
    return f'<td class="number">{escape(text)}</td>' if number else f"<td>{escape(text)}</td>"


def bars(rows: Sequence[tuple[str, float, str]], name: str) -> str:
    """Horizontal bars: (label, length, what stands at the end). ``name`` tells a reader what it shows."""
    longest = max((length for _, length, _ in rows), default=0) or 1
    room = _WIDTH - _LABEL_WIDTH - _VALUE_WIDTH
    marks = []
    for number, (label, length, text) in enumerate(rows):
        y = number * _BAR_HEIGHT
        width = max(length / longest * room, 1 if length else 0)
        marks.append(
            f'<text x="{_LABEL_WIDTH - 8}" y="{y + 15}" text-anchor="end">{escape(_short(label))}</text>'
            f'<rect x="{_LABEL_WIDTH}" y="{y + 4}" width="{width:.1f}" height="{_BAR_HEIGHT - 8}" '
            f'fill="{COLORS[0]}"/>'
            f'<text x="{_LABEL_WIDTH + width + 6:.1f}" y="{y + 15}">{escape(text)}</text>'
        )
    return _svg(len(rows) * _BAR_HEIGHT, marks, name) if rows else ""


def shares(rows: Sequence[tuple[str, Mapping[str, float]]], name: str) -> str:
    """One bar a row, divided into named shares that sum to at most 1; with a legend."""
    names = list(dict.fromkeys(part for _, parts in rows for part, share in parts.items() if share > 0))
    colors = {part: COLORS[number % len(COLORS)] for number, part in enumerate(names)}
    room = _WIDTH - _LABEL_WIDTH
    marks = []
    for number, (label, parts) in enumerate(rows):
        x, y = float(_LABEL_WIDTH), number * _BAR_HEIGHT
        marks.append(
            f'<text x="{_LABEL_WIDTH - 8}" y="{y + 15}" text-anchor="end">{escape(_short(label))}</text>'
        )
        for part, share in parts.items():
            if share > 0:
                marks.append(
                    f'<rect x="{x:.1f}" y="{y + 4}" width="{share * room:.1f}" height="{_BAR_HEIGHT - 8}" '
                    f'fill="{colors[part]}"><title>{escape(part)} {share:.1%}</title></rect>'
                )
                x += share * room
    legend = "".join(
        f'<span><i style="background:{color}"></i>{escape(part)}</span>' for part, color in colors.items()
    )
    picture = _svg(len(rows) * _BAR_HEIGHT, marks, name) if rows else ""
    return f'{picture}<p class="legend">{legend}</p>' if rows else ""


def histogram(edges: Sequence[float], counts: Sequence[int], unit: str, name: str) -> str:
    """Columns: ``counts[i]`` things between ``edges[i]`` and ``edges[i + 1]``, all drawn equally wide."""
    if not any(counts):
        return ""
    width = (_WIDTH - 2 * _MARGIN) / len(counts)
    tallest = max(counts)
    marks = []
    for number, count in enumerate(counts):
        height = count / tallest * (_HEIGHT - 2 * _MARGIN)
        x, y = _MARGIN + number * width, _HEIGHT - _MARGIN - height
        marks.append(
            f'<rect x="{x + 1:.1f}" y="{y:.1f}" width="{width - 2:.1f}" height="{height:.1f}" '
            f'fill="{COLORS[0]}"><title>{edges[number]:g} to {edges[number + 1]:g} {escape(unit)}: '
            f"{count:,}</title></rect>"
        )
    step = max(1, len(edges) // 8)
    for number in range(0, len(edges), step):
        x = _MARGIN + number * width
        marks.append(
            f'<text x="{x:.1f}" y="{_HEIGHT - 26}" text-anchor="middle">{brief(edges[number])}</text>'
        )
    marks.append(f'<text x="{_WIDTH - _MARGIN}" y="{_HEIGHT - 8}" text-anchor="end">{escape(unit)}</text>')
    marks.append(f'<text x="4" y="{_MARGIN - 10}">{tallest:,} documents</text>')
    return _svg(_HEIGHT, marks, name)


def curves(lines: Mapping[str, Sequence[tuple[float, float]]], x_label: str, y_label: str, name: str) -> str:
    """Curves of (x, y) as one picture, on lines at round numbers; a point alone is a dot.

    NaN and inf are left out.
    """
    lines = {label: [point for point in line if math.isfinite(point[1])] for label, line in lines.items()}
    points = [point for line in lines.values() for point in line]
    if not points:
        return ""
    steps, values = ([point[axis] for point in points] for axis in (0, 1))
    (x_low, x_high), (y_low, y_high) = _span(steps), _span(values)
    top = _MARGIN / 2 + 16 * len(lines)
    height = _HEIGHT + top

    def across(step: float) -> float:
        return _MARGIN + (step - x_low) / (x_high - x_low) * (_WIDTH - 2 * _MARGIN)

    def down(value: float) -> float:
        return height - _MARGIN - (value - y_low) / (y_high - y_low) * (height - _MARGIN - top)

    marks = [f'<text x="4" y="16">{escape(y_label)}</text>']
    for value in _round_numbers(y_low, y_high):
        y = down(value)
        marks.append(f'<path d="M{_MARGIN} {y:.1f}H{_WIDTH - _MARGIN}" stroke="#8884"/>')
        marks.append(f'<text x="{_MARGIN - 6}" y="{y + 4:.1f}" text-anchor="end">{brief(value)}</text>')
    for step in _round_numbers(x_low, x_high):
        x = f"{across(step):.1f}"
        marks.append(f'<text x="{x}" y="{height - 26:g}" text-anchor="middle">{brief(step)}</text>')
    marks.append(
        f'<text x="{_WIDTH - _MARGIN}" y="{height - 8:g}" text-anchor="end">{escape(x_label)}</text>'
    )
    for index, (label, line) in enumerate(lines.items()):
        color = COLORS[index % len(COLORS)]
        places = [(f"{across(step):.1f}", f"{down(value):.1f}") for step, value in line]
        if len(places) == 1:
            marks.append(f'<circle cx="{places[0][0]}" cy="{places[0][1]}" r="4" fill="{color}"/>')
        path = " ".join(map(",".join, places))
        marks.append(f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="2"/>')
        x, y = _WIDTH - _MARGIN, 16 + 16 * index
        last = f"{escape(label)} {brief(line[-1][1])}" if line else escape(label)
        marks.append(f'<text x="{x}" y="{y}" text-anchor="end" style="fill:{color}">{last}</text>')
    return _svg(height, marks, name)


def _span(values: Sequence[float]) -> tuple[float, float]:
    """From the least to the largest; a width to draw in where all are the same."""
    low, high = min(values), max(values)
    return (low, high) if high - low > _LEAST_WIDTH * max(1, abs(low)) else (low, low + max(1, abs(low)))


def _round_numbers(low: float, high: float) -> list[float]:
    """At most six multiples of 1, 2 or 5 times a power of ten between ``low`` and ``high``."""
    step = 10.0 ** math.floor(math.log10((high - low) / _MOST_TICKS))
    while math.floor(high / step) - math.ceil(low / step) >= _MOST_TICKS:
        step *= 2.5 if f"{step:e}"[0] == "2" else 2
    return [number * step for number in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _svg(height: float, marks: Sequence[str], name: str) -> str:
    start = f'<svg viewBox="0 0 {_WIDTH} {height:g}" role="img" aria-label="{escape(name)}">'
    return f"{start}{''.join(marks)}</svg>"


def _short(label: str) -> str:
    return label if len(label) <= 24 else f"{label[:23]}…"


def brief(number: float) -> str:
    """A number in at most four digits and a sign of its size: 1.047G, 4,379, 0.0001065."""
    for least, size, sign in ((1e9, 1e9, "G"), (1e6, 1e6, "M"), (1e4, 1e3, "k")):
        if abs(number) >= least:
            return f"{number / size:.4g}{sign}"
    return f"{number:,.0f}" if abs(number) >= _WHOLE else f"{number:.4g}"


_FRAME = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><style>
:root {{ color-scheme: light dark; }}
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }}
pre {{ overflow-x: auto; font-size: 13px; }}
svg {{ width: 100%; }}
svg text {{ font-size: 12px; fill: currentColor; }}
table {{ border-collapse: collapse; font-size: 13px; }}
th, td {{ padding: 2px 8px; text-align: left; border-bottom: 1px solid #8884; white-space: nowrap; }}
td.number {{ text-align: right; font-variant-numeric: tabular-nums; }}
.wide {{ overflow-x: auto; }}
.legend span {{ margin-right: 1em; font-size: 13px; white-space: nowrap; }}
.legend i {{ display: inline-block; width: .8em; height: .8em; margin-right: .3em; }}
</style></head><body>
<h1>{title}</h1>
{body}
</body></html>
"""
