"""From a line in Claude's transcript to its receipt by a client, beside `tail -f` on the same kind of file."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator

from benchmarks.program import SUBPROCESS, World, line_from, on_terminal, port_in, script, transcript_path, world
from benchmarks.stand_ins import IDLE
from benchmarks.table import Row, median, percentile

INTERVAL = 0.05  # seconds between two lines
SETTLE = 1.0  # seconds for the last line to arrive


def measure(repeat: int, seconds: float) -> Iterator[Row]:
    lines = int(seconds / INTERVAL / 2) * repeat
    with world(IDLE) as where:
        ours, plain = _ours(where, lines), _tail(where, lines)
    yield Row("transcript line to client", _text(ours, lines), f"tail -f {_text(plain, lines)}")


def _ours(where: World, lines: int) -> list[float]:
    with on_terminal(where.program(*SUBPROCESS), where.env, where.home) as terminal:
        port = port_in(terminal.read_until(b"READY")[0])
        path, session = transcript_path(where, port)
        with script("clients.py", "delays", 1, port) as reader:
            line_from(reader)
            with script("append_records.py", path, session, lines, INTERVAL) as writer:
                writer.wait()
            terminal.read_for(SETTLE)
            assert reader.stdin is not None
            reader.stdin.close()
            delays: list[float] = json.loads(line_from(reader))["delays"]
            return delays


def _tail(where: World, lines: int) -> list[float]:
    path, delays = where.home / "plain.jsonl", list[float]()
    path.touch()
    with (
        subprocess.Popen(["tail", "-f", str(path)], stdout=subprocess.PIPE) as tail,
        script("append_records.py", path, "plain", lines, INTERVAL),
    ):
        assert tail.stdout is not None
        try:
            while len(delays) < lines:
                text = json.loads(tail.stdout.readline())["message"]["content"][0]["text"]
                delays.append((time.monotonic_ns() - int(text[2:])) / 1e6)
        finally:
            tail.kill()
    return delays


def _text(delays: list[float], expected: int) -> str:
    return f"p50 {median(delays):.1f}, p99 {percentile(delays, 0.99):.1f} ms ({len(delays)}/{expected} lines)"
