"""What the samples of a soak mean: checks with their limits, a drawing, and JSON."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.charts import Chart, svg
from benchmarks.soak_run import Result, Sample

MOST_MEMORY = 64.0  # MiB, of the monitor at its end
SLOPE = 1.0  # MiB in 10 minutes
LONG = 20.0  # minutes from which the slope can be told from the noise
SHORT_GROWTH = 4.0  # MiB in the second half of a shorter run
SWING = 6.0  # descriptors or threads in the second half: a client that comes as another leaves is counted twice
SPARE = 2  # descriptors or threads that may differ from the base: a file may be open for a moment


@dataclass(frozen=True)
class Check:
    what: str
    figure: str
    limit: str
    holds: bool


def judge(result: Result) -> list[Check]:
    half = [sample for sample in result.samples if sample.minute >= result.minutes / 2]
    end, rest = result.samples[-1], result.rest or result.samples[-1]
    return [
        Check(
            "memory of the monitor at the end",
            f"{end.monitor:.1f} MiB",
            f"{MOST_MEMORY:g} MiB",
            end.monitor <= MOST_MEMORY,
        ),
        _memory(half, result.minutes),
        _flat("descriptors", half, [sample.descriptors for sample in half]),
        _flat("threads", half, [sample.threads for sample in half]),
        _given_back("descriptors", result.base.descriptors, rest.descriptors),
        _given_back("threads", result.base.threads, rest.threads),
        Check("clients still counted", str(result.clients_left), "0", result.clients_left == 0),
    ]


def _memory(half: Sequence[Sample], minutes: float) -> Check:
    rise = _slope(half, [sample.monitor for sample in half])
    if minutes >= LONG:
        what, figure = "rise of memory in the second half", f"{rise * 10:+.2f} MiB in 10 min"
        return Check(what, figure, f"{SLOPE:g} MiB in 10 min", rise * 10 <= SLOPE)
    growth = rise * minutes / 2
    what, figure = "rise of memory in the second half", f"{growth:+.2f} MiB"
    return Check(what, figure, f"{SHORT_GROWTH:g} MiB in so short a run", growth <= SHORT_GROWTH)


def _flat(name: str, half: Sequence[Sample], values: Sequence[float]) -> Check:
    rise = _slope(half, values) * (half[-1].minute - half[0].minute)
    return Check(f"rise of {name} in the second half", f"{rise:+.1f}", f"{SWING:g}", rise <= SWING)


def _given_back(name: str, base: int, rest: int) -> Check:
    what, figure = f"{name} once all clients have left", f"{rest}, before them {base}"
    return Check(what, figure, f"{base} + {SPARE}", rest <= base + SPARE)


def _slope(samples: Sequence[Sample], values: Sequence[float]) -> float:
    """Units a minute, by least squares; 0 for fewer than two samples."""
    if len(samples) < 2:
        return 0.0
    return float(statistics.linear_regression([sample.minute for sample in samples], values).slope)


def draw(result: Result) -> str:
    samples = result.samples
    memory: dict[str, Sequence[float]] = {"monitor": [sample.monitor for sample in samples]}
    if any(sample.front for sample in samples):
        memory["front"] = [sample.front for sample in samples]
    charts = [
        Chart("Memory, MiB of RSS", memory, MOST_MEMORY),
        Chart("Open descriptors", {"descriptors": [sample.descriptors for sample in samples]}),
        Chart("Threads", {"threads": [sample.threads for sample in samples]}),
    ]
    killed = f"{result.clients_killed} clients and {result.emulators_killed} screen processes killed"
    caption = f"{result.minutes:g} minutes, 200 events a second, 20 clients coming and going; {killed}"
    return svg([sample.minute for sample in samples], charts, caption)


def as_json(result: Result, checks: Sequence[Check]) -> dict[str, Any]:
    """Everything; `holds` is the verdict."""
    return {
        "holds": all(check.holds for check in checks),
        "checks": [asdict(each) for each in checks],
        **asdict(result),
    }
