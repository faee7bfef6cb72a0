"""A team's sessions through one Redis and one hub to a client: nothing lost, the delay, and what each part costs.

Redis, the hub and the client are processes of their own, as in life; so is the load generator, whose share of the
processor is said too, because a fleet has it on other machines.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack

import psutil

from benchmarks.program import HERE, PATIENCE, line_from, piped, status, tell, world
from benchmarks.streams import load_on, redis, wait_for
from benchmarks.table import Row, percentile

FLEETS = (200, 2_000)  # sessions
RATE = 5  # events a second of each
P99_AIM = 250.0  # milliseconds


def measure(repeat: int, seconds: float) -> Iterator[Row]:
    if shutil.which("redis-server") is None:
        raise OSError("redis-server is not installed")
    for sessions in FLEETS:
        yield fleet(sessions, seconds)


def fleet(sessions: int, seconds: float) -> Row:
    """`sessions` publish RATE events a second each for `seconds`; one client of a hub counts them."""
    with ExitStack() as ended:
        url, server = ended.enter_context(redis())
        where = ended.enter_context(world("#!/bin/sh\n"))
        load = ended.enter_context(load_on(url, sessions, RATE, seconds))
        line_from(load)
        hub = [sys.executable, "-m", "claude_mpm", "hub", url, "--websocket-port", "0"]
        serving = ended.enter_context(piped(hub, where.env, stderr=subprocess.STDOUT))
        port = int(line_from(serving).split("localhost:")[1].split("/")[0])
        wait_for(lambda: _instances(port) == sessions)
        reader = ended.enter_context(piped([sys.executable, str(HERE / "clients.py"), "fleet", "1", str(port)]))
        line_from(reader)
        parts = {"load": load.pid, "Redis": server, "hub": serving.pid, "client": reader.pid}
        before, start = _used(parts), time.monotonic()
        tell(load, "go")
        sent = json.loads(line_from(load))["sent"]
        elapsed, after = time.monotonic() - start, _used(parts)
        wait_for(lambda: _seq(port) >= sent, PATIENCE)
        memory = psutil.Process(serving.pid).memory_info().rss / 2**20, psutil.Process(server).memory_info().rss / 2**20
        assert reader.stdin is not None
        reader.stdin.close()
        seen = json.loads(line_from(reader))
    cores = ", ".join(f"{name} {(after[name] - before[name]) / elapsed:.2f}" for name in parts)
    p50, p99 = percentile(seen["delays"], 0.5), percentile(seen["delays"], 0.99)
    figure = (
        f"{seen['frames']:,} of {sent:,}; delay p50 {p50:.0f}, p99 {p99:.0f} ms; cores: {cores}; "
        f"memory: hub {memory[0]:.0f}, Redis {memory[1]:.0f} MiB"
    )
    is_whole = seen["frames"] == sent and not seen["wrong"]
    what = f"fleet: {sessions:,} sessions, {RATE} events/s each, through Redis and a hub to a client"
    return Row(what, figure, "", "", f"all, p99 ≤ {P99_AIM:g} ms", is_whole and p99 <= P99_AIM)


def _used(parts: dict[str, int]) -> dict[str, float]:
    """Seconds of processor time of each process."""
    return {name: sum(psutil.Process(pid).cpu_times()[:2]) for name, pid in parts.items()}


def _instances(port: int) -> int:
    counts = status(port)["fleet"]
    assert isinstance(counts, dict)
    return int(counts["instances"])


def _seq(port: int) -> int:
    return int(str(status(port)["seq"]))
