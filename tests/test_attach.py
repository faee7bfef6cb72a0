"""Watching what is not ours: `attach`, and the commands that look for instances."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from program import PROGRAM, environment, port_in, registered, run, script
from support import TIMEOUT, wait_until
from terminal import Terminal
from watching import Watcher

from claude_mpm.client.client import Client
from claude_mpm.errors import ProtocolError

TOKEN = "0123456789abcdef-token"
STAND_IN = [sys.executable, "-m", "claude_mpm.demo.stand_in"]


def port_of(terminal: Terminal) -> int:
    return wait_until(lambda: port_in(bytes(terminal.output)), "the announcement of the page") or 0


@contextmanager
def a_claude(home: Path, *args: str, speed: int = 20) -> Iterator[Terminal]:
    """The stand-in at a terminal of its own, started by nobody of ours."""
    config = home / "claude"
    config.mkdir()
    env = environment(home, CLAUDE_CONFIG_DIR=str(config), CLAUDE_MPM_DEMO_SPEED=str(speed))
    with Terminal([*STAND_IN, *args], env=env, cwd=home) as terminal:
        terminal.wait_for(b"DEMO")
        yield terminal


def test_a_claude_that_runs_already_is_watched_to_its_end(home: Path, tmp_path: Path) -> None:
    with a_claude(home) as claude:
        attach = [*PROGRAM, "attach", str(claude.pid), "--websocket-port", "0"]
        with Terminal(attach, env=environment(home), cwd=tmp_path) as terminal, Watcher(port_of(terminal)) as seen:
            (start,) = seen.wait_for(lambda: seen.all("session.start", reason="attach"))
            assert start["instance_info"]["working_dir"] == str(home), "its directory, not ours"
            seen.wait_for(lambda: seen.all("todo.update"))
            seen.wait_for(lambda: seen.all("agent.delegation", status="started"))
            assert claude.wait(TIMEOUT * 3) == 0
            seen.wait_ended()
            assert terminal.wait() == 0
    assert seen.types()[-1] == "session.end"
    assert not seen.all("claude.status", status="starting"), "it was not us who started it"


def test_ctrl_c_leaves_it_alone(home: Path, tmp_path: Path) -> None:
    with a_claude(home, "--demo-wait") as claude:
        attach = [*PROGRAM, "attach", str(claude.pid), "--websocket-port", "0"]
        with Terminal(attach, env=environment(home), cwd=tmp_path) as terminal:
            port_of(terminal)
            wait_until(lambda: registered(home), "the instance to be registered")
            terminal.write(b"\x03")
            assert terminal.wait() == 130
        claude.write(b"q")
        assert claude.wait() == 0


@pytest.mark.parametrize("pid", ["4194304", "1"])
def test_what_cannot_be_watched_is_said_in_one_line(pid: str, home: Path, tmp_path: Path) -> None:
    if pid == "1" and os.getuid() == 0:
        pytest.skip("every process is root's own")
    done = run("attach", pid, home=home, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.count(b"\n") == 1


# --- instances -------------------------------------------------------------------------------------


def test_instances_are_listed_with_what_tells_them_apart(home: Path, tmp_path: Path) -> None:
    assert run("instances", "--json", home=home, cwd=tmp_path).stdout == b"[]\n"
    claude = script(tmp_path, "read line")
    start = [*PROGRAM, "--websocket", "--websocket-port", "0", "--launch-method", "subprocess", "--claude", str(claude)]
    with Terminal(start, env=environment(home), cwd=tmp_path) as terminal:
        port = port_of(terminal)
        wait_until(lambda: registered(home), "the instance to be registered")
        (listed,) = json.loads(run("instances", "--json", home=home, cwd=tmp_path).stdout)
        assert (listed["port"], listed["working_dir"]) == (port, str(tmp_path))
        assert f"http://localhost:{port}/".encode() in run("instances", home=home, cwd=tmp_path).stdout
        taken = run("--websocket", "--websocket-port", str(port), "--claude", str(claude), home=home, cwd=tmp_path)
        assert taken.returncode == 2
        assert str(tmp_path).encode() in taken.stderr, "another claude-mpm is named with its directory"
        terminal.write(b"\r")
        terminal.wait()
    assert run("instances", "--json", home=home, cwd=tmp_path).stdout == b"[]\n"


def test_monitor_of_a_port_that_nobody_serves_says_what_to_do(home: Path, tmp_path: Path) -> None:
    done = run("monitor", "9", home=home, cwd=tmp_path)
    assert done.returncode == 2
    assert b"claude-mpm instances" in done.stderr


# --- control ---------------------------------------------------------------------------------------


@contextmanager
def controlled(home: Path, tmp_path: Path, text: str, *more: str) -> Iterator[tuple[Terminal, int]]:
    claude = script(tmp_path, text)
    start = [*PROGRAM, "--websocket", "--websocket-port", "0", "--launch-method", "subprocess", "--claude", str(claude)]
    env = environment(home, CLAUDE_MPM_WEBSOCKET_TOKEN=TOKEN)
    with Terminal([*start, *more], env=env, cwd=tmp_path, rows=30, cols=100) as terminal:
        yield terminal, port_of(terminal)


def test_a_client_with_the_token_types_resizes_interrupts_and_stops(home: Path, tmp_path: Path) -> None:
    text = "trap 'stty size' WINCH; trap 'echo GOT-INT' INT; read line; echo \"<$line>\"; while :; do sleep 0.05; done"
    with (
        controlled(home, tmp_path, text, "--websocket-control") as (terminal, port),
        Client(port, token=TOKEN) as client,
    ):
        client.request("send_input", text="by hand\r")
        terminal.wait_for(b"<by hand>")
        client.request("resize", cols=90, rows=20)
        terminal.wait_for(b"20 90")
        client.request("interrupt")
        terminal.wait_for(b"GOT-INT")
        audit = [e["data"]["command"] for e in client.get_history(["system.control"])["events"]]
        assert audit == ["send_input", "resize", "interrupt"]
        client.request("stop")
        assert terminal.wait() == 128 + signal.SIGTERM


def test_without_the_option_there_is_no_control(home: Path, tmp_path: Path) -> None:
    with (
        controlled(home, tmp_path, 'read line; echo "<$line>"') as (terminal, port),
        Client(port, token=TOKEN) as client,
    ):
        with pytest.raises(ProtocolError) as refused:
            client.request("send_input", text="x\r")
        assert refused.value.code in ("forbidden", "unknown_command")
        terminal.write(b"mine\r")
        terminal.wait_for(b"<mine>")
        terminal.wait()


def test_the_token_is_in_no_argument_list_no_environment_and_no_log(home: Path, tmp_path: Path) -> None:
    with (
        controlled(home, tmp_path, "env; read line", "--websocket-control") as (terminal, port),
        Client(port, token=TOKEN) as client,
    ):
        client.get_status()
        listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
        assert TOKEN not in listed
        terminal.write(b"\r")
        terminal.wait()
        assert TOKEN.encode() not in bytes(terminal.output)
    wait_until(lambda: not registered(home), "the end of the monitor")  # that file has the token, for its own user
    for path in (home / ".claude-mpm").rglob("*"):
        assert not path.is_file() or TOKEN not in path.read_text(), path
