"""The round trip of a key: from the write on the user's terminal to its echo there, with and without claude-mpm."""

from __future__ import annotations

import random
import select
import time
from collections.abc import Iterator
from contextlib import ExitStack
from subprocess import Popen
from typing import NamedTuple

from benchmarks.program import SUBPROCESS, Terminal, World, line_from, on_terminal, port_in, script, world
from benchmarks.stand_ins import ECHO_KEYS
from benchmarks.table import Row, median, percentile

KEYS = 500  # in each situation; half as many before and after without the wrapper
INTERVAL = 0.02  # seconds between two keys
WARM_UP = 30  # keys that are not counted
LINES = 200  # a second, shown by the stand-in under load
HISTORY = 8  # MiB shown before the measurement, so that a client has a history to ask for
P99_AIM, MAX_AIM = 2.0, 10.0  # milliseconds more than without the wrapper
NAMES = b"abcdefghijklmnopqrstuvwxyz"


class Situation(NamedTuple):
    """What happens while the user types: `lines` a second are shown, `clients` of each kind are connected."""

    name: str
    lines: int
    clients: tuple[tuple[str, int], ...] = ()


SITUATIONS = (
    Situation("quiet", 0),
    Situation("50 readers", LINES, (("readers", 50),)),
    Situation("10 readers, 5 stalled", LINES, (("readers", 10), ("stalled", 5))),
    Situation("2 flooding get_history", LINES, (("history", 1),) * 2),
    Situation("4 connecting without pause", LINES, (("reconnecting", 1),) * 4),
)


class Spread(NamedTuple):
    """Round trips in milliseconds."""

    p50: float
    p99: float
    most: float


def measure(repeat: int, seconds: float) -> Iterator[Row]:
    for situation in SITUATIONS:
        pairs = [_run(situation) for _ in range(repeat)]
        bare, ours = (Spread(*map(median, zip(*side, strict=True))) for side in zip(*pairs, strict=True))
        yield _row(situation, bare, ours)


def _run(situation: Situation) -> tuple[Spread, Spread]:
    """(without, with) claude-mpm, in one minute: half of the plain keys before the wrapped ones, half after."""
    with world(ECHO_KEYS) as where:
        before = _bare(where, situation)
        (where.home / "load").write_text(f"{situation.lines} {HISTORY if situation.clients else 0}")
        with on_terminal(where.program(*SUBPROCESS), where.env, where.home) as terminal, ExitStack() as clients:
            port = port_in(terminal.read_until(b"/\r\n")[0])
            terminal.read_until(b"READY")
            for kind, count in situation.clients:
                _wait_ready(terminal, clients.enter_context(script("clients.py", kind, count, port)))
            wrapped = _type(terminal, KEYS)
        after = _bare(where, situation)
    return _spread(before + after), _spread(wrapped)


def _bare(where: World, situation: Situation) -> list[float]:
    (where.home / "load").write_text(f"{situation.lines} 0")
    with on_terminal([str(where.claude)], where.env, where.home) as terminal:
        terminal.read_until(b"READY")
        return _type(terminal, KEYS // 2)


def _wait_ready(terminal: Terminal, process: Popen[str]) -> None:
    """Wait for the clients while the terminal flows: a terminal nobody reads would hold up what is measured."""
    assert process.stdout is not None
    while not select.select([process.stdout], [], [], 0)[0]:
        terminal.read(0.05)
    line_from(process)


def _type(terminal: Terminal, count: int) -> list[float]:
    """Milliseconds from each key to its echo. The gaps vary, so as not to march in step with the lines."""
    times = []
    for number in range(count + WARM_UP):
        terminal.read_for(INTERVAL * random.uniform(0.8, 1.2))
        key = NAMES[number % len(NAMES)]
        start = time.monotonic_ns()
        terminal.write(bytes((key,)))
        terminal.read_until(b"<%c>" % key)
        times.append((time.monotonic_ns() - start) / 1e6)
    return times[WARM_UP:]


def _spread(times: list[float]) -> Spread:
    return Spread(median(times), percentile(times, 0.99), max(times))


def _row(situation: Situation, bare: Spread, ours: Spread) -> Row:
    more = Spread(*(mine - plain for mine, plain in zip(ours, bare, strict=True)))
    lines = f", {situation.lines} lines/s" if situation.lines else ""
    return Row(
        f"keystroke round trip, {situation.name}{lines}",
        f"{_text(ours)} ms",
        f"no wrapper {_text(bare)} ms",
        f"{more.p50:+.1f} / {more.p99:+.1f} / {more.most:+.1f} ms",
        f"p50 / p99 ≤ +{P99_AIM:g} / max ≤ +{MAX_AIM:g} ms",
        more.p99 <= P99_AIM and more.most <= MAX_AIM,
    )


def _text(spread: Spread) -> str:
    return f"{spread.p50:.1f} / {spread.p99:.1f} / {spread.most:.1f}"
