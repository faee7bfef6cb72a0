"""The front and the monitor: nothing that becomes of one reaches what the other promises."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from program import PROGRAM, environment, gone, port_in, registered, run, script, wait_gone
from support import TIMEOUT, free_port, wait_until
from terminal import Terminal
from watching import Watcher

SUBPROCESS = ("--websocket", "--websocket-port", "0", "--launch-method", "subprocess")
ROOMS_OF_THE_MONITOR = ("monitor", "server.listener", "feed", "sources", "screen", "system.instances")


@contextmanager
def sit(home: Path, claude: Path, *args: str) -> Iterator[tuple[Terminal, int]]:
    """The program at a terminal, and its port."""
    argv = [*PROGRAM, *SUBPROCESS, "--claude", str(claude), *args]
    with Terminal(argv, env=environment(home), cwd=home) as terminal:
        yield terminal, wait_until(lambda: port_in(bytes(terminal.output)), "the announcement of the page") or 0


def monitor_of(home: Path) -> int:
    """The pid of the one monitor."""
    (record,) = wait_until(lambda: registered(home), "the monitor to register")
    return int(record["process"][0])


def pids_in(path: Path) -> list[int]:
    return [int(pid) for pid in path.read_text().split()] if path.exists() else []


def test_the_front_loads_nothing_of_the_monitor() -> None:
    code = (
        "import sys, claude_mpm.cli.main, claude_mpm.cli.launch, claude_mpm.launch.front, claude_mpm.launch.child.pty_child,"
        "claude_mpm.launch.child.pipe_child, claude_mpm.launch.monitor_process, claude_mpm.launch.command.hook_settings;"
        "print(*sys.modules)"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    names = {name.removeprefix("claude_mpm.") for name in loaded if name.startswith("claude_mpm.")}
    assert not [name for name in names if name.startswith(ROOMS_OF_THE_MONITOR)]
    assert not {"asyncio", "wsproto", "watchdog", "psutil", "simple_websocket", "ssl"} & set(loaded)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_a_monitor_that_dies_or_stops_costs_one_line_after_the_end(
    how: signal.Signals, home: Path, tmp_path: Path
) -> None:
    text = "stty raw -echo; echo READY; dd bs=1 count=1 2>/dev/null; head -c 3000000 /dev/zero; echo SHOWN; exit 3"
    with sit(home, script(tmp_path, text)) as (terminal, port):
        before = terminal.initial
        with Watcher(port) as watcher:
            watcher.wait_event("claude.status", status="running")
            terminal.wait_for(b"READY")
        monitor = monitor_of(home)
        os.kill(monitor, how)
        try:
            if how == signal.SIGKILL:
                wait_gone(monitor)
            terminal.write(b"x")
            at = terminal.wait_for(b"SHOWN")
            assert terminal.wait() == 3
            said = terminal.output[at:].decode().strip().splitlines()
            assert len(said) == 1 and "the monitor" in said[0], said
            assert len(before) and terminal.output.count(b"\0") == 3_000_000
        finally:
            if how == signal.SIGSTOP:
                os.kill(monitor, signal.SIGKILL)
                wait_gone(monitor)


@pytest.mark.parametrize("args", [(), ("-p",)])
def test_a_front_that_is_killed_is_told_and_leaves_no_orphan(args: tuple[str, ...], home: Path, tmp_path: Path) -> None:
    claude = script(tmp_path, f"trap '' HUP; sleep 1000 & echo $! $$ > {tmp_path}/pids; wait")
    with sit(home, claude, *args) as (terminal, port), Watcher(port) as watcher:
        pids = wait_until(lambda: pids_in(tmp_path / "pids"), "its pids")
        watcher.wait_event("claude.status", status="running")
        monitor = monitor_of(home)
        terminal.signal(signal.SIGKILL)
        assert watcher.wait_event("session.end")["reason"] == "claude-mpm was killed"
        watcher.wait_ended()
        for pid in pids:
            wait_gone(pid)
        wait_gone(monitor)
    assert not registered(home)


def test_a_monitor_that_is_told_to_stop_leaves_claude_alone(home: Path, tmp_path: Path) -> None:
    with sit(home, script(tmp_path, "read line; echo got $line; exit 4")) as (terminal, port):
        with Watcher(port) as watcher:
            watcher.wait_event("claude.status", status="running")
            os.kill(monitor_of(home), signal.SIGTERM)
            assert watcher.wait_event("session.end")["reason"] == "claude-mpm was told to stop watching"
            assert not watcher.all("claude.status", status="stopped")
        terminal.write(b"on\r")
        terminal.wait_for(b"got on")
        assert terminal.wait() == 4


@pytest.mark.parametrize("method", ["subprocess", "exec"])
def test_the_port_is_free_again_when_the_command_returns(method: str, home: Path, tmp_path: Path) -> None:
    claude, port = script(tmp_path, "exit 0"), str(free_port())
    for _ in range(4):
        done = run(
            "--websocket", "--websocket-port", port, "--launch-method", method, "--claude", str(claude), "-p",
            home=home, cwd=home,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr


INIT = {"type": "system", "subtype": "init", "session_id": "s-1", "cwd": "/w", "model": "m"}
SAID = {
    "type": "assistant",
    "session_id": "s-1",
    "message": {"id": "m1", "role": "assistant", "content": [{"type": "text", "text": "quick"}]},
}
RESULT = {"type": "result", "subtype": "success", "session_id": "s-1", "total_cost_usd": 0.25}


def test_what_a_quick_claude_prints_first_is_not_lost(home: Path, tmp_path: Path) -> None:
    lines = "\n".join(map(json.dumps, (INIT, SAID, RESULT)))
    claude = script(tmp_path, f"cat <<'END'\n{lines}\nEND\nread line")
    with subprocess.Popen(
        [*PROGRAM, *SUBPROCESS, "--claude", str(claude), "-p", "--output-format", "stream-json"],
        env=environment(home), cwd=home, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as program:  # fmt: skip
        assert program.stdin is not None and program.stdout is not None and program.stderr is not None
        port = port_in(program.stderr.readline())
        assert port is not None
        with Watcher(port) as watcher:
            assert watcher.wait_event("claude.message", role="assistant")["text"] == "quick"
            watcher.wait_event("claude.usage", cost_usd=0.25)
            program.stdin.write(b"\n")
            program.stdin.close()
            watcher.wait_event("session.end")
        assert program.wait(TIMEOUT) == 0


def test_more_than_1023_descriptors_are_no_trouble(home: Path, tmp_path: Path) -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard < 4096:
        pytest.skip("this system allows no more than 4,096 descriptors")
    opens = "; ".join(["exec 3</dev/null"] + [f"exec {fd}<&3" for fd in range(4, 1200)])
    command = f"ulimit -n 4096; {opens}; exec {' '.join(PROGRAM)} {' '.join(SUBPROCESS)} --claude"
    for text, args in (("exit 5", "-p"), ("echo SHOWN; exit 5", "")):
        claude = script(tmp_path, text)
        with Terminal(["bash", "-c", f"{command} {claude} {args}"], env=environment(home), cwd=home) as terminal:
            assert terminal.wait() == 5, terminal.tail()


def test_what_is_logged_of_a_start_is_what_is_so(home: Path, tmp_path: Path) -> None:
    with sit(home, script(tmp_path, "read line")) as (terminal, port):
        with Watcher(port) as watcher:
            told = watcher.wait_event("session.start")["instance_info"]["capabilities"]
            watcher.wait_event("claude.status", status="running")
            (record,) = registered(home)
            assert told == record["info"]["capabilities"]
            assert len(told) == len(set(told)) and "output" in told
        terminal.write(b"\r")
        assert terminal.wait() == 0
    wait_until(lambda: not registered(home), "the end of the monitor")


def test_attach_takes_only_a_claude(home: Path, tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "1000"], env=environment(home)) as other:
        try:
            done = run("attach", str(other.pid), home=home, cwd=tmp_path)
            assert done.returncode == 2
            assert b"not a claude" in done.stderr and done.stderr.count(b"\n") == 1
            assert not gone(other.pid)
        finally:
            other.kill()
