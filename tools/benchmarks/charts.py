"""Small line charts, one above the other, as an SVG that is readable on light and dark pages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 720, 170  # pixels of one chart, its title and axis included
LEFT, RIGHT, TOP, BOTTOM = 56, 120, 34, 26  # pixels around the plotted area
STYLE = """
  svg { font: 12px system-ui, sans-serif; background: #ffffff; }
  text { fill: #1f2328; } .quiet { fill: #59636e; } .grid { stroke: #d1d9e0; }
  .line { fill: none; stroke-width: 1.5; } .limit { stroke: #cf222e; stroke-dasharray: 4 3; }
  .c0 { stroke: #0969da; } .c1 { stroke: #9a6700; } text.c0 { fill: #0969da; } text.c1 { fill: #9a6700; }
  text.c0, text.c1 { stroke: none; }
  @media (prefers-color-scheme: dark) {
    svg { background: #0d1117; } text { fill: #f0f6fc; } .quiet { fill: #9198a1; } .grid { stroke: #3d444d; }
    .limit { stroke: #f85149; } .c0 { stroke: #4493f8; } .c1 { stroke: #d29922; }
    text.c0 { fill: #4493f8; } text.c1 { fill: #d29922; }
  }
"""


class Chart(NamedTuple):
    """Up to two lines over the minutes of a run. `limit`, if given, is drawn as a dashed line."""

    title: str
    lines: dict[str, Sequence[float]]
    limit: float | None = None


def svg(minutes: Sequence[float], charts: Sequence[Chart], caption: str) -> str:
    """The document. `minutes` are the times of all samples, ascending."""
    height = HEIGHT * len(charts) + 30
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
        f"<title>{escape(caption)}</title><style>{STYLE}</style>",
    ]
    for number, chart in enumerate(charts):
        parts += [f'<g transform="translate(0 {number * HEIGHT})">', *_chart(minutes, chart), "</g>"]
    parts += [f'<text class="quiet" x="{LEFT}" y="{height - 10}">{escape(caption)}</text>', "</svg>", ""]
    return "\n".join(parts)


def _chart(minutes: Sequence[float], chart: Chart) -> list[str]:
    most = max([chart.limit or 0.0, 1.0, *(value for line in chart.lines.values() for value in line)])
    step = _step(most)
    top, last = step * -(-most // step), minutes[-1] or 1.0

    def x(minute: float) -> float:
        return LEFT + minute / last * (WIDTH - LEFT - RIGHT)

    def y(value: float) -> float:
        return HEIGHT - BOTTOM - value / top * (HEIGHT - TOP - BOTTOM)

    parts = [f'<text x="{LEFT}" y="20">{escape(chart.title)}</text>']
    for count in range(round(top / step) + 1):
        at = y(count * step)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>')
        parts.append(f'<text class="quiet" x="{LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{count * step:g}</text>')
    for part in (0, 0.5, 1):
        at = x(last * part)
        parts.append(
            f'<text class="quiet" x="{at:.1f}" y="{HEIGHT - 8}" text-anchor="middle">{last * part:.3g} min</text>'
        )
    if chart.limit is not None:
        at = y(chart.limit)
        parts.append(f'<line class="limit" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>')
        label = f'<text class="quiet" x="{WIDTH - RIGHT - 4}" y="{at - 4:.1f}" text-anchor="end">'
        parts.append(f"{label}limit {chart.limit:g}</text>")
    for number, (name, values) in enumerate(chart.lines.items()):
        points = " ".join(f"{x(minute):.1f},{y(value):.1f}" for minute, value in zip(minutes, values, strict=True))
        parts.append(f'<polyline class="line c{number}" points="{points}"/>')
        label = f'<text class="c{number}" x="{WIDTH - RIGHT + 6}" y="{TOP + 14 + 16 * number}">'
        parts.append(f"{label}{escape(name)}</text>")
    return parts


def _step(most: float) -> float:
    """A round distance between grid lines, for three to six of them."""
    step = 1.0
    while most / step > 5:
        step *= 2.5 if str(step)[0] == "2" else 2
    return step
