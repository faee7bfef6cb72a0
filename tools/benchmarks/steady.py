"""50 clients at 200 events of 1 kB a second, without and with 5 stalled ones: losses, delay and processor time."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import NamedTuple

import psutil
from checkout import ROOT

from benchmarks.program import HERE, line_from, piped, script, tell
from benchmarks.table import Row, median, percentile

CLIENTS, STALLED = 50, 5
RATE, SECONDS = 200, 15  # events a second, and for how long; long enough to fill a stalled client's buffers
PAD = 860  # bytes of padding, for frames of 1 kB
P99_AIM, CORES_AIM = 25.0, 0.25  # milliseconds; of the server's process
MEMORY_AIM = 5.0  # MiB more with the stalled clients
SETTLE = 1.0  # seconds for the last events to arrive
AIM = f"p99 ≤ {P99_AIM:g} ms, ≤ {CORES_AIM:g} cores"


class Run(NamedTuple):
    """Delays in milliseconds, processor time in cores, memory in MiB of RSS at the end."""

    p50: float
    p99: float
    cores: float
    memory: float


def measure(repeat: int, seconds: float) -> Iterator[Row]:
    pairs = [(_run(0), _run(STALLED)) for _ in range(repeat)]
    plain, stalled = (Run(*map(median, zip(*side, strict=True))) for side in zip(*pairs, strict=True))
    yield Row(f"{CLIENTS} clients, {RATE} events/s of 1 kB", _text(plain), "", "", AIM, _good(plain))
    more = stalled.memory - plain.memory
    yield Row(
        f"{STALLED} stalled clients beside {CLIENTS}, {RATE} events/s",
        _text(stalled),
        f"without them {plain.memory:.1f} MiB",
        f"{more:+.1f} MiB",
        f"{AIM}, ≤ +{MEMORY_AIM:g} MiB",
        _good(stalled) and more <= MEMORY_AIM,
    )


def _run(stalled: int) -> Run:
    """Send for a while, and see that every client gets everything in order. OSError if one does not."""
    argv, count = [sys.executable, str(HERE / "our_broadcast.py"), str(PAD)], RATE * SECONDS
    with piped(argv, {**os.environ, "PYTHONPATH": str(ROOT)}) as server, ExitStack() as clients:
        port, process = line_from(server), psutil.Process(server.pid)
        if stalled:
            line_from(clients.enter_context(script("clients.py", "stalled", stalled, port)))
        readers = clients.enter_context(script("clients.py", "delays", CLIENTS, port))
        line_from(readers)
        used, start = sum(process.cpu_times()[:2]), time.monotonic()
        tell(server, f"{count} {RATE}")
        time.sleep(SECONDS + SETTLE)
        cores = (sum(process.cpu_times()[:2]) - used) / (time.monotonic() - start)
        memory = process.memory_info().rss / 1024 / 1024
        assert readers.stdin is not None
        readers.stdin.close()
        seen = json.loads(line_from(readers))
    if seen["wrong"] or seen["frames"] != count * CLIENTS:
        raise OSError(f"{seen['frames']:,} of {count * CLIENTS:,} events arrived, {seen['wrong']} out of order")
    return Run(percentile(seen["delays"], 0.5), percentile(seen["delays"], 0.99), cores, memory)


def _text(run: Run) -> str:
    return f"p50 {run.p50:.1f}, p99 {run.p99:.1f} ms, {run.cores:.2f} cores, {run.memory:.1f} MiB"


def _good(run: Run) -> bool:
    return run.p99 <= P99_AIM and run.cores <= CORES_AIM
