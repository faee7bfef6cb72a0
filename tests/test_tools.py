"""The scripts of tools/, as a user starts them: with a python3 from anywhere, in any directory."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from scripted_server import ScriptedServer, scripted
from support import ROOT, TIMEOUT, free_port

TOOLS = ["find_websocket_port.py", "test_websocket_quick.py", "test_websocket.py"]
STATUS = {
    "session_id": "5e55",
    "session_start": "2026-01-02T03:04:05.678Z",
    "claude_status": "running",
    "claude_pid": 7,
    "activity": "waiting",
    "waiting_for": {"kind": "permission"},
    "connected_clients": 2,
    "instance_info": {"working_dir": "/home/me/\x1b[31mproject", "git_branch": "main", "claude_mpm_version": "0.1.0"},
    "todos": {"todos": [], "stats": {"total": 7, "completed": 3}},
}


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with scripted() as server:
        yield server


def run(tool: str, *args: object, python: str = sys.executable, root: Path = ROOT) -> subprocess.CompletedProcess[str]:
    command = [python, str(root / "tools" / tool), *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, cwd="/", check=False)


@pytest.mark.parametrize("tool", TOOLS)
def test_help_teaches_usage_examples_and_exit_codes(tool: str) -> None:
    done = run(tool, "--help")
    assert done.returncode == 0
    assert "usage:" in done.stdout
    assert "exit code" in done.stdout


@pytest.mark.parametrize("tool", TOOLS)
def test_bad_port_is_a_usage_error(tool: str) -> None:
    done = run(tool, "x")
    assert done.returncode == 2
    assert "usage:" in done.stderr


# --- starting from a checkout ----------------------------------------------------------------------


@pytest.fixture
def bare(tmp_path: Path) -> tuple[Path, str]:
    """A copy of the tools, and a python without the libraries."""
    shutil.copytree(ROOT / "tools", tmp_path / "co" / "tools", ignore=shutil.ignore_patterns("__pycache__"))
    bare = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(bare)], check=True)
    return tmp_path / "co", str(bare / "bin" / "python")


@pytest.mark.parametrize("tool", TOOLS)
def test_without_libraries_one_line_says_what_to_do(tool: str, bare: tuple[Path, str]) -> None:
    root, python = bare
    done = run(tool, python=python, root=root)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == (
        f"{tool}: what it needs is not installed yet; run {root / 'bin' / 'claude-mpm'} --version once\n"
    )


def test_without_libraries_the_checkouts_own_python_is_taken(bare: tuple[Path, str]) -> None:
    root, python = bare
    stand_in = root / ".venv" / "bin" / "python"
    stand_in.parent.mkdir(parents=True)
    stand_in.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\nexit 5\n')
    stand_in.chmod(0o755)
    done = run("find_websocket_port.py", "9000", "--json", python=python, root=root)
    assert done.returncode == 5
    assert done.stdout.splitlines() == [str(root / "tools" / "find_websocket_port.py"), "9000", "--json"]


# --- find_websocket_port.py ------------------------------------------------------------------------


def test_free_port_is_exit_code_0() -> None:
    port = free_port()
    done = run("find_websocket_port.py", port)
    assert (done.returncode, done.stdout) == (0, f"port {port} is free\n")


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_port_in_use_on_either_family_is_told_with_its_holder_and_a_free_one(address: str) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        taken = socket.create_server((address, 0), family=family)
    except OSError:
        pytest.skip(f"no {address} on this machine")
    with taken:
        port = taken.getsockname()[1]
        done = run("find_websocket_port.py", port)
        as_json = json.loads(run("find_websocket_port.py", port, "--json").stdout)
    assert done.returncode == 1
    assert done.stdout.startswith(f"port {port} is in use by ")
    assert f"(pid {os.getpid()})" in done.stdout
    assert as_json["holder"]["pid"] == os.getpid()
    assert (as_json["port"], as_json["free"]) == (port, False)
    assert as_json["free_port"] > port
    assert f"port {as_json['free_port']} is free" in done.stdout


@pytest.mark.parametrize("port", ["0", "65536", "-1", "٣"])
def test_impossible_port_is_a_usage_error(port: str) -> None:
    assert run("find_websocket_port.py", port).returncode == 2


# --- test_websocket_quick.py -----------------------------------------------------------------------


def test_quick_answer_is_readable_and_harmless(server: ScriptedServer) -> None:
    server.status = STATUS
    done = run("test_websocket_quick.py", server.port)
    assert done.returncode == 0
    head, *lines = done.stdout.splitlines()
    assert head.startswith(f"claude-mpm 0.1.0 at localhost:{server.port} answered in ")
    assert lines == [
        "  works in  /home/me/project (main)",
        "  session   5e55",
        "  since     2026-01-02T03:04:05.678Z",
        "  claude    running, waiting, for permission, pid 7",
        "  todos     3 of 7 done",
        "  clients   2",
    ]


def test_quick_answer_as_json_is_the_status(server: ScriptedServer) -> None:
    server.status = STATUS
    assert json.loads(run("test_websocket_quick.py", server.port, "--json").stdout) == STATUS


@pytest.mark.parametrize("tool", ["test_websocket_quick.py", "test_websocket.py"])
def test_no_server_is_exit_code_1_and_one_line(tool: str) -> None:
    done = run(tool, free_port())
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"{tool}: nothing listens on localhost:")
    assert done.stderr.count("\n") == 1


# --- test_websocket.py -----------------------------------------------------------------------------


def start(*args: object) -> subprocess.Popen[str]:
    command = [sys.executable, str(ROOT / "tools" / "test_websocket.py"), *map(str, args)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd="/")


def test_every_event_is_printed_until_ctrl_c_which_is_exit_code_130(server: ScriptedServer) -> None:
    server.emit("todo.update", {"later": "shape"})
    with start(server.port, "--since", "0") as tool:
        assert tool.stdout is not None
        line = tool.stdout.readline()
        tool.send_signal(signal.SIGINT)
        _, errors = tool.communicate(timeout=TIMEOUT)
    assert "todo.update" in line
    assert tool.returncode == 130
    assert "Traceback" not in errors


def test_it_reconnects_and_resumes(server: ScriptedServer) -> None:
    server.emit("todo.update", {"n": 1})
    with start(server.port, "--since", "0", "--jsonl", "--channels", "todo.*,agent.*") as tool:
        assert tool.stdout is not None
        assert json.loads(tool.stdout.readline())["seq"] == 1
        server.drop()
        server.emit("claude.output")
        server.emit("agent.status")
        assert json.loads(tool.stdout.readline())["seq"] == 3
        tool.send_signal(signal.SIGINT)
        _, errors = tool.communicate(timeout=TIMEOUT)
    assert [line.split()[1] for line in errors.splitlines()] == ["client.connected", "client.lost", "client.connected"]


def test_reader_that_leaves_ends_it_quietly(server: ScriptedServer) -> None:
    server.emit("todo.update")
    with start(server.port, "--since", "0") as tool:
        assert tool.stdout is not None and tool.stderr is not None
        tool.stdout.readline()
        tool.stdout.close()
        while tool.poll() is None:
            server.emit("todo.update")
        errors = tool.stderr.read()
    assert tool.returncode == 141
    assert "Traceback" not in errors and "BrokenPipe" not in errors
