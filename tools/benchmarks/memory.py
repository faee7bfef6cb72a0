"""Memory of front, monitor and each idle client, and the processor time they use while nothing happens.

RSS is what users see in `ps` and what the aims are about. USS and PSS stand beside it, because the monitor is forked
from the front: pages that both still share are in the RSS of each, in the USS of neither, and halved in the PSS.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from typing import Any

import psutil

from benchmarks.program import SUBPROCESS, line_from, monitor_of, on_terminal, port_in, script, status, world
from benchmarks.stand_ins import IDLE
from benchmarks.table import Row

FRONT_AIM, MONITOR_AIM = 14.0, 32.0  # MB
CLIENT_AIM = 100.0  # kB each
CLIENTS = 200  # the default limit is 256
SETTLE = 3.0  # seconds; what a start or a greeting costs is not idling
IDLE_FACTOR = 3  # times --seconds that processor time is counted


def measure(repeat: int, seconds: float) -> Iterator[Row]:
    span = seconds * IDLE_FACTOR * repeat
    with world(IDLE) as where, on_terminal(where.program(*SUBPROCESS), where.env, where.home) as terminal:
        port = port_in(terminal.read_until(b"READY")[0])
        terminal.read_for(SETTLE)
        front, monitor = psutil.Process(terminal.pid), psutil.Process(monitor_of(terminal.pid, port))
        parts = [front] if front == monitor else [front, monitor]
        yield from _at_rest(front, monitor)
        yield _idle_time("idle, no client", parts, span)
        with script("clients.py", "readers", 1, port) as first:  # what is loaded with the first client stays
            line_from(first)
        terminal.read_for(SETTLE)
        before = _megabytes(monitor)
        with script("clients.py", "readers", CLIENTS, port) as crowd:
            line_from(crowd)
            terminal.read_for(SETTLE)
            connected = status(port)["connected_clients"]
            if connected != CLIENTS:
                raise OSError(f"{connected} of {CLIENTS} clients are connected")
            yield _each_client(before, _megabytes(monitor))
            yield _idle_time(f"idle, {CLIENTS} clients", parts, span)
            assert crowd.stdin is not None
            crowd.stdin.close()
            if lost := json.loads(line_from(crowd))["lost_connections"]:
                raise OSError(f"{lost} idle clients lost their connections")


def _megabytes(process: psutil.Process) -> dict[str, float]:
    """rss, uss and pss in MB (10^6 bytes)."""
    full: Any = process.memory_full_info()
    return {name: getattr(full, name) / 1e6 for name in ("rss", "uss", "pss")}


def _at_rest(front: psutil.Process, monitor: psutil.Process) -> Iterator[Row]:
    if front == monitor:
        found = _megabytes(front)
        yield _process_row("front and monitor, one process", found, FRONT_AIM + MONITOR_AIM)
        return
    yield _process_row("front", _megabytes(front), FRONT_AIM)
    yield _process_row("monitor", _megabytes(monitor), MONITOR_AIM)


def _process_row(name: str, found: dict[str, float], aim: float) -> Row:
    what, figure = f"memory idle, {name}", f"{found['rss']:.1f} MB RSS"
    shared = f"USS {found['uss']:.1f} MB, PSS {found['pss']:.1f} MB"
    return Row(what, figure, shared, "", f"≤ {aim:g} MB", found["rss"] <= aim)


def _each_client(before: dict[str, float], after: dict[str, float]) -> Row:
    each = {name: (after[name] - before[name]) * 1000 / CLIENTS for name in after}
    figure, beside = f"{each['rss']:.0f} kB RSS", f"USS {each['uss']:.0f} kB"
    what = f"memory, each of {CLIENTS} idle clients"
    return Row(what, figure, beside, "", f"≤ {CLIENT_AIM:g} kB", each["rss"] <= CLIENT_AIM)


def _idle_time(what: str, parts: list[psutil.Process], span: float) -> Row:
    used = _spent(parts, span)
    sleeper = psutil.Popen([sys.executable, "-c", "import time; time.sleep(1000)"])
    try:
        time.sleep(SETTLE)
        plain = _spent([sleeper], min(span, 5.0))
    finally:
        sleeper.kill()
        sleeper.wait()
    return Row(f"processor time, {what}", f"{used:.0f} ms a minute", f"a Python that sleeps {plain:.0f} ms")


def _spent(parts: list[psutil.Process], span: float) -> float:
    """Milliseconds of processor time a minute, over `span` seconds. The kernel counts in steps of 10 ms."""
    before = [sum(part.cpu_times()[:2]) for part in parts]
    time.sleep(span)
    return sum(sum(part.cpu_times()[:2]) - was for part, was in zip(parts, before, strict=True)) * 1000 * 60 / span
