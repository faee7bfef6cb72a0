#!/usr/bin/env python3
"""How fast is claude-mpm, and what does it cost? Each figure stands beside something plain that ran in the same minute."""

from __future__ import annotations

import argparse
import json
import os
import pty
import select
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from checkout import ROOT, use_checkout
from fan_out import fanout

EPILOG = """\
measurements (all, when none is named):
  fanout      one writer, 1, 10 and 50 clients, events of 1 kB, at 200 a second and flat out; beside `websockets` (threads)
  terminal    MB/s of a large file shown by a claude on a terminal; beside the bare terminal and python's pty.spawn
  transcript  from a line Claude writes to its receipt by a client; beside `tail -f`
  hook        one hook as Claude runs it; beside `sh -c 'cat >/dev/null'`
  start       until claude's first byte; beside claude alone and an empty python
  idle        processor time and memory while nothing happens; beside a python that sleeps

Ratios mean something on any machine; the other numbers only on yours. On a busy one take --repeat 3: medians are shown.

exit code: 0 measured; 2 usage, or something needed is not installed
"""
PAYLOAD = "x" * 1500
PATIENCE = 30.0  # seconds; a measurement that hangs ends
Row = tuple[str, ...]


# --- the program, as a user runs it ---


@contextmanager
def _world(script: str) -> Iterator[tuple[Path, Path, dict[str, str]]]:
    """A home, a stand-in for claude, and an environment built from nothing."""
    with tempfile.TemporaryDirectory(prefix="claude-mpm-bench-", ignore_cleanup_errors=True) as name:
        home, claude = Path(name), Path(name) / "stand-in"
        claude.write_text(f"#!/bin/sh\n{script}\n")
        claude.chmod(0o755)
        path = "/usr/local/bin:/usr/bin:/bin"
        yield home, claude, {"PATH": path, "HOME": name, "TERM": "xterm", "PYTHONPATH": str(ROOT), "LANG": "C.UTF-8"}


def _program(claude: Path, *args: str) -> list[str]:
    return [sys.executable, "-m", "claude_mpm", *args, "--claude", str(claude)]


SERVING = ("--websocket", "--websocket-port", "0")
CHILD = (*SERVING, "--launch-method", "subprocess")


@contextmanager
def _at_terminal(argv: Sequence[str], env: dict[str, str]) -> Iterator[tuple[int, int]]:
    """(pid, master) of a program on a terminal of its own."""
    pid, master = pty.fork()
    if pid == 0:
        os.chdir(env["HOME"])
        os.execve(argv[0], list(argv), env)
    try:
        yield pid, master
    finally:
        os.kill(pid, signal.SIGTERM)
        os.close(master)
        os.waitpid(pid, 0)


def _read_until(fd: int, mark: bytes) -> tuple[bytes, int]:
    """The end of what came up to `mark`, and how many bytes that was."""
    seen, count, deadline = b"", 0, time.monotonic() + PATIENCE
    while mark not in seen:
        if not select.select([fd], [], [], deadline - time.monotonic())[0]:
            raise TimeoutError(f"{mark!r} never came")
        data = os.read(fd, 1 << 16)
        count, seen = count + len(data), seen[-4000:] + data
    return seen, count


def _port(seen: bytes) -> int:
    return int(seen.partition(b"http://localhost:")[2].partition(b"/")[0])


def terminal(repeat: int, seconds: float) -> Iterator[Row]:
    yield "way", "MB/s", "of the bare terminal"
    with _world('echo READY; read line; cat "$HOME/big"; echo; echo THE"_"END; read line') as (home, claude, env):
        line = "\x1b[32m" + "claude shows a line of text, 日本 and ┌─┐ " * 2 + "\x1b[0m\n"
        (home / "big").write_text(line * 200_000, encoding="utf-8")
        spawn = [sys.executable, "-c", f"import pty; pty.spawn([{str(claude)!r}])"]
        ways = {"bare": [str(claude)], "pty.spawn": spawn, "claude-mpm": _program(claude, *CHILD)}
        speeds: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(repeat):
            for way, argv in ways.items():
                with _at_terminal(argv, env) as (_, master):
                    _read_until(master, b"READY")
                    start = time.monotonic()
                    os.write(master, b"\n")
                    speeds[way].append(_read_until(master, b"THE_END")[1] / 1e6 / (time.monotonic() - start))
    bare = statistics.median(speeds["bare"])
    for way, found in speeds.items():
        yield way, f"{statistics.median(found):.0f}", f"{statistics.median(found) / bare:.2f}"


APPEND = """
import json, sys, time, uuid, pathlib
path, session, count = pathlib.Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
path.parent.mkdir(parents=True, exist_ok=True)
time.sleep(1)
for number in range(count):
    time.sleep(0.05)
    text = f"T={time.monotonic_ns():020d}"
    message = {"id": f"msg_{number}", "type": "message", "role": "assistant", "model": "claude-x", "stop_reason": None,
        "content": [{"type": "text", "text": text}], "usage": {"input_tokens": 1, "output_tokens": 1}}
    record = {"type": "assistant", "uuid": str(uuid.uuid4()), "sessionId": session, "isSidechain": False, "cwd": "/",
        "timestamp": time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime()), "message": message}
    with path.open("a") as file:
        file.write(json.dumps(record) + "\\n")
"""


def transcript(repeat: int, seconds: float) -> Iterator[Row]:
    from claude_mpm.client.client import Client
    from claude_mpm.sources.files.transcripts import slug

    yield "way", "lines", "median ms", "p99 ms"
    with _world("sleep 1000") as (home, claude, env):
        lines = int(seconds / 0.05 / 2) * repeat
        with (
            _at_terminal(_program(claude, *CHILD), env) as (_, master),
            Client(port=_port(_read_until(master, b"/\r\n")[0])) as client,
        ):
            client.subscribe(["session.start", "claude.message"], since=0)
            session = next(frame for frame in client if frame["type"] == "session.start")["data"]["session_id"]
            path = home / ".claude" / "projects" / slug(os.path.realpath(home)) / f"{session}.jsonl"
            argv = [sys.executable, "-c", APPEND, str(path), session, str(lines)]
            delays: list[float] = []
            with subprocess.Popen(argv, env=env):
                while len(delays) < lines and (frame := client.next_event(PATIENCE)) is not None:
                    if frame["type"] == "claude.message":
                        delays.append((time.monotonic_ns() - int(frame["data"]["text"][2:])) / 1e6)
        yield "claude-mpm", *_delays(delays, lines)
        path.unlink()
        path.touch()
        delays = []
        with (
            subprocess.Popen(["tail", "-f", str(path)], stdout=subprocess.PIPE) as tail,
            subprocess.Popen(argv, env=env),
        ):
            assert tail.stdout is not None
            while len(delays) < lines:
                text = json.loads(tail.stdout.readline())["message"]["content"][0]["text"]
                delays.append((time.monotonic_ns() - int(text[2:])) / 1e6)
            tail.kill()
        yield "tail -f", *_delays(delays, lines)


def _delays(delays: list[float], expected: int) -> Row:
    delays = sorted(delays) or [float("nan")]
    return f"{len(delays)}/{expected}", f"{statistics.median(delays):.1f}", f"{delays[int(len(delays) * 0.99)]:.1f}"


def hook(repeat: int, seconds: float) -> Iterator[Row]:
    from claude_mpm.launch.hook_settings import hook_settings

    yield "command", "median ms", "p99 ms", "ratio"
    with tempfile.TemporaryDirectory(prefix="claude-mpm-bench-") as name:
        spool = Path(name) / "spool"
        spool.mkdir()
        command = hook_settings(spool)["PreToolUse"][0]["hooks"][0]["command"]
        payload = json.dumps({"hook_event_name": "PreToolUse", "tool_input": {"content": PAYLOAD}}).encode()
        ways = {"sh -c 'cat >/dev/null'": "cat >/dev/null", "the hook": command}
        times: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(200 * repeat):
            for way, text in ways.items():
                start = time.monotonic()
                subprocess.run(["/bin/sh", "-c", text], input=payload, check=True)
                times[way].append((time.monotonic() - start) * 1000)
            for file in spool.iterdir():  # as claude-mpm does
                file.unlink()
    plain = statistics.median(times["sh -c 'cat >/dev/null'"])
    for way, found in times.items():
        found.sort()
        median = statistics.median(found)
        yield way, f"{median:.2f}", f"{found[int(len(found) * 0.99)]:.2f}", f"{median / plain:.2f}"


def start(repeat: int, seconds: float) -> Iterator[Row]:
    yield "way", "ms to claude's first byte", "more than an empty python"
    with _world("echo x") as (home, claude, env):
        ways = {
            "claude alone": [str(claude)],
            "an empty python": [sys.executable, "-c", f"import os; os.execv({str(claude)!r}, ['x'])"],
            "claude-mpm": _program(claude),
            "--websocket (exec)": _program(claude, *SERVING),
            "--websocket, subprocess": _program(claude, *CHILD),
        }
        times: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(10 * repeat):
            for way, argv in ways.items():
                began = time.monotonic()
                with subprocess.Popen(
                    argv, env=env, cwd=home, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
                ) as process:
                    assert process.stdout is not None
                    process.stdout.read(1)
                    times[way].append((time.monotonic() - began) * 1000)
    base = statistics.median(times["an empty python"])
    for way, found in times.items():
        yield way, f"{statistics.median(found):.0f}", f"{statistics.median(found) - base:+.0f}"


def idle(repeat: int, seconds: float) -> Iterator[Row]:
    import psutil

    from claude_mpm.client.client import Client

    yield "what", "clients", "CPU ms a minute", "memory MB", "threads"
    span = seconds * 2 * repeat
    with _world("sleep 1000") as (_, claude, env):
        sleeper = [sys.executable, "-c", "print('http://localhost:0/'); import time; time.sleep(1000)"]
        for name, argv, count in (
            ("a python that sleeps", sleeper, 0),
            ("claude-mpm", _program(claude, *CHILD), 0),
            ("claude-mpm", _program(claude, *CHILD), 10),
        ):
            with _at_terminal(argv, env) as (pid, master):
                port = _port(_read_until(master, b"/\r\n")[0])
                clients = [Client(port=port).connect() for _ in range(count)]
                for client in clients:
                    client.subscribe(["*"])
                time.sleep(2)  # what a start costs is not idling
                process = psutil.Process(pid)
                before = sum(process.cpu_times()[:2])
                time.sleep(span)
                used = (sum(process.cpu_times()[:2]) - before) * 1000 * 60 / span
                memory, threads = process.memory_info().rss / 1e6, process.num_threads()
                for client in clients:
                    client.close()
            yield name, str(count), f"{used:.0f}", f"{memory:.0f}", str(threads)


MEASUREMENTS: dict[str, Callable[[int, float], Iterator[Row]]] = {
    each.__name__: each for each in (fanout, terminal, transcript, hook, start, idle)
}


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="what to measure")
    parser.add_argument("--repeat", type=int, default=1, help="runs of each, of which the median is shown (default 1)")
    parser.add_argument(
        "--seconds", type=float, default=3.0, help="how long one run of a steady load lasts (default 3)"
    )
    chosen = parser.parse_args(argv)
    for name in chosen.names:
        if name not in MEASUREMENTS:
            parser.error(f"{name!r} is none of {', '.join(MEASUREMENTS)}")
    if chosen.repeat < 1 or chosen.seconds < 1:
        parser.error("--repeat and --seconds are 1 or more")
    for name in chosen.names or MEASUREMENTS:
        print(f"\n{name}")
        try:
            rows = list(MEASUREMENTS[name](chosen.repeat, chosen.seconds))
        except (ImportError, OSError) as error:
            print(f"{parser.prog}: {name}: {error}", file=sys.stderr)
            return 2
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for row in rows:
            print("  " + "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)))
    return 0


if __name__ == "__main__":
    use_checkout()
    sys.exit(main())
