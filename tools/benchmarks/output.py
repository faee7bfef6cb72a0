"""From the write of a line on Claude's terminal to its receipt by ten clients, at 500 lines a second."""

from __future__ import annotations

import json
from collections.abc import Iterator

from benchmarks.program import SUBPROCESS, line_from, on_terminal, port_in, script, world
from benchmarks.stand_ins import STAMPED_LINES
from benchmarks.table import Row, median, percentile

RATE = 500  # lines a second
CLIENTS = 10
P50_AIM, P99_AIM = 12.0, 25.0  # milliseconds
SETTLE = 1.0  # seconds for the last lines to arrive


def measure(repeat: int, seconds: float) -> Iterator[Row]:
    count = int(RATE * seconds)
    runs = [_delays(count) for _ in range(repeat)]
    p50, p99, most = (median([percentile(run, part) for run in runs]) for part in (0.5, 0.99, 1))
    yield Row(
        f"a line shown to its receipt, {RATE} lines/s, {CLIENTS} clients",
        f"p50 {p50:.1f}, p99 {p99:.1f}, max {most:.1f} ms",
        aim=f"p50 ≤ {P50_AIM:g}, p99 ≤ {P99_AIM:g} ms",
        met=p50 <= P50_AIM and p99 <= P99_AIM,
    )


def _delays(count: int) -> list[float]:
    """The age in milliseconds of every line at every client."""
    with world(STAMPED_LINES) as where:
        (where.home / "load").write_text(f"{RATE} {count}")
        with on_terminal(where.program(*SUBPROCESS), where.env, where.home) as terminal:
            port = port_in(terminal.read_until(b"READY")[0])
            with script("clients.py", "delays", CLIENTS, port) as readers:
                line_from(readers)
                terminal.read_for(0.5)
                terminal.write(b"\r")
                terminal.read_until(b"THE_END")
                terminal.read_for(SETTLE)
                assert readers.stdin is not None
                readers.stdin.close()
                seen = json.loads(line_from(readers))
    if seen["frames"] != count * CLIENTS:
        raise OSError(f"{seen['frames']:,} of {count * CLIENTS:,} lines arrived")
    delays: list[float] = seen["delays"]
    return delays
