"""What a status bar runs every few seconds: `claude-mpm status` beside 20 instances, and a Python that does nothing."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack

from benchmarks.program import EXEC, World, on_terminal, world
from benchmarks.stand_ins import IDLE
from benchmarks.table import Row, median, percentile

INSTANCES = 20
RUNS = 30  # of each way, in turns
AIM = 60.0  # milliseconds; the median
NOTHING = "python -c pass"


def measure(repeat: int, seconds: float) -> Iterator[Row]:
    with world(IDLE) as where, ExitStack() as running:
        for _ in range(INSTANCES):
            terminal = running.enter_context(on_terminal(where.program(*EXEC), where.env, where.home))
            terminal.read_until(b"READY")
        command = where.program("status")[:-2]  # without the --claude that only a start takes
        ways = {NOTHING: [sys.executable, "-c", "pass"], "status": command}
        _wait_for_all(where, command)
        times: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(RUNS * repeat):
            for way, argv in ways.items():
                start = time.monotonic()
                subprocess.run(argv, env=where.env, cwd=where.home, check=True, stdout=subprocess.DEVNULL)
                times[way].append((time.monotonic() - start) * 1000)
    ours, plain = times["status"], times[NOTHING]
    yield Row(
        f"status of {INSTANCES} instances",
        _text(ours),
        f"{NOTHING} {_text(plain)}",
        f"{median(ours) - median(plain):+.0f} ms",
        f"p50 ≤ {AIM:g} ms",
        median(ours) <= AIM,
    )


def _wait_for_all(where: World, command: list[str]) -> None:
    """Until every instance has been found. LookupError."""
    for _ in range(50):
        shown = subprocess.run(
            command, env=where.env, cwd=where.home, capture_output=True, text=True, check=True
        ).stdout
        if shown == f"{INSTANCES} idle\n":
            return
        time.sleep(0.1)
    raise LookupError(f"the status never told of {INSTANCES} instances; it was {shown!r}")


def _text(times: list[float]) -> str:
    return f"p50 {median(times):.0f}, p99 {percentile(times, 0.99):.0f} ms"
