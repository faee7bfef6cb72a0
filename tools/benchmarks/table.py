"""The rows every measurement yields, and the ways to show them: text, Markdown, JSON."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

HEAD = ("what", "claude-mpm", "beside it", "compared", "aim", "verdict")


@dataclass(frozen=True)
class Row:
    """One figure beside what it is compared with. Every text carries its unit.

    Attributes:
        beside: the name of the thing compared with, and its figure from the same run; empty if there is none.
        compared: the ratio or the difference that the aim is about.
        met: whether the aim was met; None where there is no aim.
    """

    what: str
    figure: str
    beside: str = ""
    compared: str = ""
    aim: str = ""
    met: bool | None = None

    @property
    def verdict(self) -> str:
        return {True: "met", False: "missed", None: ""}[self.met]

    @property
    def cells(self) -> tuple[str, ...]:
        return self.what, self.figure, self.beside, self.compared, self.aim, self.verdict


def as_text(rows: Sequence[Row]) -> str:
    """Aligned columns; the first is flush left."""
    cells = [HEAD, *(row.cells for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells
    )


def as_markdown(rows: Iterable[Row]) -> str:
    lines = [HEAD, ("---",) * len(HEAD), *(row.cells for row in rows)]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def as_json(measurement: str, rows: Iterable[Row]) -> list[dict[str, Any]]:
    """The rows as objects. `measurement` is the name bench.py knows the measurement by."""
    return [{"measurement": measurement, **asdict(row)} for row in rows]


def percentile(values: Sequence[float], part: float) -> float:
    """The value below which `part` (0 to 1) of `values` lie; NaN if there are none."""
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * part), len(ordered) - 1)] if ordered else float("nan")


def median(values: Sequence[float]) -> float:
    """The median; NaN if there are no values."""
    return statistics.median(values) if values else float("nan")
