"""Pages: one self-contained HTML file from headings, tables and pictures. Nothing is loaded from elsewhere.

Pictures are SVG without scripts; every text that comes from data is escaped here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

COLORS = tuple(
    f"hsl({210 + 137.5 * turn:g} {65 - 25 * (turn % 2)}% {46 + 6 * (turn % 3)}%)" for turn in range(24)
)
_WIDTH, _HEIGHT, _MARGIN = 640, 240, 44
_BAR_HEIGHT, _LABEL_WIDTH, _VALUE_WIDTH = 22, 170, 130


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
            f'<text x="{x:.1f}" y="{_HEIGHT - 26}" text-anchor="middle">{_brief(edges[number])}</text>'
        )
    marks.append(f'<text x="{_WIDTH - _MARGIN}" y="{_HEIGHT - 8}" text-anchor="end">{escape(unit)}</text>')
    marks.append(f'<text x="4" y="{_MARGIN - 10}">{tallest:,} documents</text>')
    return _svg(_HEIGHT, marks, name)


def curves(lines: Mapping[str, Sequence[tuple[float, float]]], x_label: str, y_label: str, name: str) -> str:
    """Curves of (x, y) as one picture."""
    points = [point for line in lines.values() for point in line]
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
        f'<text x="{_MARGIN}" y="{_HEIGHT - 8}">{x_low:g}</text>',
        f'<text x="{_WIDTH - _MARGIN}" y="{_HEIGHT - 8}" text-anchor="end">{x_high:g} '
        f"{escape(x_label)}</text>",
        f'<text x="4" y="{_MARGIN}">{y_high:.2f} {escape(y_label)}</text>',
        f'<text x="4" y="{_HEIGHT - _MARGIN}">{y_low:.2f}</text>',
    ]
    for index, (label, line) in enumerate(lines.items()):
        color = COLORS[index % len(COLORS)]
        path = " ".join(place(*point) for point in line)
        marks.append(f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="2"/>')
        x, y = _WIDTH - _MARGIN, 16 + 16 * index
        marks.append(f'<text x="{x}" y="{y}" text-anchor="end" style="fill:{color}">{escape(label)}</text>')
    return _svg(_HEIGHT, marks, name)


def _svg(height: float, marks: Sequence[str], name: str) -> str:
    start = f'<svg viewBox="0 0 {_WIDTH} {height:g}" role="img" aria-label="{escape(name)}">'
    return f"{start}{''.join(marks)}</svg>"


def _short(label: str) -> str:
    return label if len(label) <= 24 else f"{label[:23]}…"


def _brief(value: float) -> str:
    for size, sign in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g}{sign}"
    return f"{value:g}"


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
