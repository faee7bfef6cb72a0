"""What a user waits for at both ends: until Claude runs, and from Claude's end to the shell's prompt."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator

from benchmarks.program import EXEC, SUBPROCESS, Terminal, World, on_terminal, world
from benchmarks.stand_ins import START_AND_END
from benchmarks.table import Row, median

RUNS = 10  # of each way, in turns; the median is shown
START_AIM, END_AIM = 90.0, 25.0  # milliseconds more than Claude alone
ALONE, PYTHON = "Claude alone", "an empty Python"


def measure(repeat: int, seconds: float) -> Iterator[Row]:
    with world(START_AND_END) as where:
        claude = str(where.claude)
        ways = {
            ALONE: [claude],
            PYTHON: [sys.executable, "-c", f"import os; os.execv({claude!r}, ['claude'])"],
            "exec": where.program(*EXEC),
            "subprocess": where.program(*SUBPROCESS),
        }
        times: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
        for turn in range(RUNS * repeat + 1):
            for way, argv in ways.items():
                pair = _run(where, argv)
                if turn:  # the first turn writes the byte code
                    times[way].append(pair)
    starts = {way: median([start for start, _ in found]) for way, found in times.items()}
    ends = {way: median([end for _, end in found]) for way, found in times.items()}
    yield _row("until Claude runs, an empty Python before it", starts[PYTHON], starts[ALONE], None)
    for way in ("exec", "subprocess"):
        yield _row(f"until Claude runs, {way}", starts[way], starts[ALONE], START_AIM)
    for way in ("exec", "subprocess"):
        yield _row(f"after Claude's end, {way}", ends[way], ends[ALONE], END_AIM)


def _run(where: World, argv: list[str]) -> tuple[float, float]:
    """Milliseconds from the start to Claude's first byte, and from Claude's last act to the command's end."""
    ended, ending = os.pipe()
    try:
        began = time.monotonic()
        with on_terminal(argv, where.env, where.home, pass_fd=ending) as terminal:
            terminal.read_until(b"CLAUDE_RUNS")
            start = time.monotonic() - began
            terminal.read_for(0.3)  # long enough for whatever is loaded after Claude's start
            terminal.write(b"\r")
            return start * 1000, _until_end(terminal, ended) * 1000
    finally:
        os.close(ended)
        os.close(ending)


def _until_end(terminal: Terminal, ended: int) -> float:
    """Seconds from the byte on `ended` until the command's end is seen."""
    os.read(ended, 1)
    last_act = time.monotonic()
    terminal.wait()
    return time.monotonic() - last_act


def _row(what: str, figure: float, alone: float, aim: float | None) -> Row:
    more = figure - alone
    return Row(
        what,
        f"{figure:.0f} ms",
        f"{ALONE} {alone:.0f} ms",
        f"{more:+.0f} ms",
        "" if aim is None else f"≤ +{aim:g} ms",
        None if aim is None else more <= aim,
    )
