"""One hook as Claude runs it: the command claude-mpm puts into Claude's settings, beside a shell that does nothing."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.program import SUBPROCESS, on_terminal, world
from benchmarks.stand_ins import ARGUMENTS
from benchmarks.table import Row, median, percentile

CALLS = 200
PAYLOAD = json.dumps({"hook_event_name": "PreToolUse", "tool_input": {"content": "x" * 1500}}).encode()
NOTHING = "cat >/dev/null"


def measure(repeat: int, seconds: float) -> Iterator[Row]:
    with world(ARGUMENTS) as where, on_terminal(where.program(*SUBPROCESS), where.env, where.home) as terminal:
        terminal.read_until(b"READY")
        ways = {NOTHING: NOTHING, "hook": _command((where.home / "arguments").read_text().splitlines())}
        times: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(CALLS * repeat):
            for way, command in ways.items():
                start = time.monotonic()
                subprocess.run(["/bin/sh", "-c", command], input=PAYLOAD, env=where.env, cwd=where.home, check=True)
                times[way].append((time.monotonic() - start) * 1000)
    ours, plain = times["hook"], times[NOTHING]
    ratio = f"{median(ours) / median(plain):.1f} ×"
    yield Row("one hook", _text(ours), f"sh -c '{NOTHING}' {_text(plain)}", ratio)


def _command(arguments: list[str]) -> str:
    """The PreToolUse command in the settings that Claude was started with. LookupError."""
    at = arguments.index("--settings") if "--settings" in arguments else -1
    if at < 0:
        raise LookupError("Claude was started without --settings")
    value = arguments[at + 1]
    settings: Any = json.loads(value if value.startswith("{") else Path(value).read_text())
    return str(settings["hooks"]["PreToolUse"][0]["hooks"][0]["command"])


def _text(times: list[float]) -> str:
    return f"p50 {median(times):.1f}, p99 {percentile(times, 0.99):.1f} ms"
