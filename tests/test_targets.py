"""What must hold when many come at once, vanish, or when the machine runs out of something: the program from outside."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil
import pytest
from program import PROGRAM, environment, port_in, registered, script
from serving import Client, ask, get, read_all, upgrade
from support import ROOT, TIMEOUT, wait_until
from terminal import Terminal
from watching import Watcher

from claude_mpm.server.bind import bind
from claude_mpm.system.state_dir import log_path

SUBPROCESS = ("--websocket", "--launch-method", "subprocess", "--websocket-port")
ECHO = 'echo READY; while read line; do echo "got $line"; [ "$line" = end ] && exit 3; done'
CROWD = """
import sys
from serving import Client
clients = [Client(int(sys.argv[1])).greeted() for _ in range(100)]
for client in clients:
    client.subscribe("*")
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.fixture()
def cwd(tmp_path: Path) -> Path:
    path = tmp_path / "project"
    path.mkdir()
    return path


@contextmanager
def session(home: Path, cwd: Path, *, before: str = "", port: int = 0) -> Iterator[tuple[Terminal, int]]:
    """The program, with a claude that repeats what is typed; `before` runs in the shell that starts it."""
    claude = script(cwd.parent, ECHO)
    program = [*PROGRAM, *SUBPROCESS, str(port), "--claude", str(claude)]
    argv = ["/bin/sh", "-c", f'{before}\nexec "$@"', "sh", *program]
    with Terminal(argv, env=environment(home), cwd=cwd) as terminal:
        terminal.wait_for(b"READY")
        yield terminal, port_in(terminal.output) or 0


def typed(terminal: Terminal, line: str) -> None:
    """Claude gets what is typed, and what it answers is shown."""
    since = len(terminal.output)
    terminal.write(line.encode() + b"\r")
    terminal.wait_for(f"got {line}".encode(), since=since)


def ends(terminal: Terminal) -> None:
    typed(terminal, "end")
    assert terminal.wait() == 3, terminal.tail()
    assert b"Traceback" not in terminal.output


def served(port: int) -> bool:
    """Whether a new client is let in."""
    try:
        with Client(port) as client:
            return client.head.status == 101
    except (OSError, AssertionError):
        return False


@contextmanager
def connections(port: int, count: int, request: bytes = b"") -> Iterator[list[socket.socket]]:
    with ExitStack() as stack:
        yield [_connected(stack, port, request) for _ in range(count)]


def _connected(stack: ExitStack, port: int, request: bytes) -> socket.socket:
    sock = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT))
    sock.sendall(request)
    return sock


@pytest.fixture()
def watch() -> Iterator[Callable[[int], Watcher]]:
    """Starts watchers, and closes them after the test."""
    with ExitStack() as watchers:
        yield lambda port: watchers.enter_context(Watcher(port))


# --- many ------------------------------------------------------------------------------------------


def test_a_hundred_killed_clients_leave_no_thread_and_no_descriptor(home: Path, cwd: Path) -> None:
    with session(home, cwd) as (terminal, port):
        with Client(port) as first:  # what is loaded with the first client stays
            first.greeted().subscribe("*")
        program = psutil.Process(terminal.pid)
        wait_until(lambda: registered(home) and not clients_of(port), "the start, and the first client's end")
        fds, threads = at_rest(program)
        env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}
        with subprocess.Popen(
            [sys.executable, "-c", CROWD, str(port)], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as crowd:
            assert crowd.stdout is not None
            try:
                assert crowd.stdout.readline() == b"ready\n"
                assert clients_of(port) == 100
            finally:
                crowd.send_signal(signal.SIGKILL)
        wait_until(lambda: program.num_fds() <= fds and program.num_threads() <= threads, "everything given back")
        ends(terminal)


def at_rest(program: psutil.Process) -> tuple[int, int]:
    """Its descriptors and threads, once they have been the same for thirty looks."""
    looks: deque[tuple[int, int]] = deque(maxlen=30)

    def same() -> bool:
        looks.append((program.num_fds(), program.num_threads()))
        return len(looks) == looks.maxlen and len(set(looks)) == 1

    wait_until(same, "rest")
    return looks[-1]


def clients_of(port: int) -> int:
    count = ask(port, get("/status")).json()["data"]["connected_clients"]
    assert isinstance(count, int)
    return count


def test_connections_that_say_nothing_keep_nobody_out(home: Path, cwd: Path) -> None:
    with session(home, cwd) as (terminal, port), connections(port, 100), connections(port, 50, b"GET / HTTP/1.1\r\n"):
        assert ask(port, get("/healthz")).status == 200
        assert served(port)
        ends(terminal)


def test_garbage_reaches_neither_claude_nor_its_terminal_nor_the_exit_code(home: Path, cwd: Path) -> None:
    noise = [
        b"\x00\xff\r\nGARBAGE\r\n\r\n",
        b"GET GARBAGE\r\n\r\n",
        b"\x16\x03\x01GARBAGE" * 2000,
        b"got GARBAGE\n" * 5,
    ]
    with session(home, cwd) as (terminal, port):
        shown = len(terminal.output)
        for garbage in [*noise, upgrade(Origin="http://GARBAGE"), upgrade(Host="GARBAGE")]:
            with connections(port, 1, garbage) as (sock,):
                sock.shutdown(socket.SHUT_WR)
                read_all(sock)
        for frames in (b"\xff" * 500, b"\x81\x85GARBAGE\xff\xff\xff", b"\x81\xfe\xff\xff" + b"GARBAGE" * 9000):
            with Client(port) as client:
                client.greeted().sock.sendall(frames)
                client.sock.shutdown(socket.SHUT_WR)
                read_all(client.sock)
        assert len(terminal.output) == shown
        assert served(port)
        ends(terminal)


# --- too little ------------------------------------------------------------------------------------


def test_few_descriptors_cost_clients_but_neither_claude_nor_the_server_for_long(home: Path, cwd: Path) -> None:
    with session(home, cwd, before="ulimit -n 64") as (terminal, port):
        wait_until(lambda: served(port), "the server")
        with connections(port, 100, upgrade()):
            typed(terminal, "while they are there")
            with connections(port, 100):
                typed(terminal, "and more of them")
        wait_until(lambda: served(port), "the server again")
        ends(terminal)
    lines = "".join(path.read_text() for path in (home / ".claude-mpm" / "logs").iterdir())
    assert "Traceback" not in lines
    assert lines.count("no new clients for now") <= 2


def test_a_full_disk_for_the_log_costs_one_warning(home: Path, cwd: Path, watch: Callable[[int], Watcher]) -> None:
    sockets = bind(None, 0)
    port = sockets[0].getsockname()[1]
    for sock in sockets:
        sock.close()
    path = log_path(home / ".claude-mpm", port)
    path.parent.mkdir(parents=True)
    path.symlink_to("/dev/full")
    with session(home, cwd, port=port) as (terminal, _):
        wait_until(lambda: served(port), "the server")
        seen = watch(port)
        for _ in range(3):
            assert ask(port, get("/", Host="evil.example")).status == 403  # a line in the log
        seen.wait_event("system.error", component="log")
        ends(terminal)
        seen.wait_ended()
    assert [(e["component"], e["severity"]) for e in seen.all("system.error")] == [("log", "warning")]


def test_where_nothing_can_be_written_the_session_goes_on(home: Path, cwd: Path) -> None:
    with session(home, cwd, before="ulimit -f 0") as (terminal, port):
        wait_until(lambda: served(port), "the server")
        ends(terminal)


NO_INOTIFY = [
    "unshare",
    "--user",
    "--map-root-user",
    "sh",
    "-c",
    'echo 0 >/proc/sys/user/max_inotify_instances && exec "$@"',
    "sh",
]


def test_without_inotify_todos_are_seen_all_the_same(home: Path, cwd: Path, watch: Callable[[int], Watcher]) -> None:
    if shutil.which("unshare") is None or subprocess.run([*NO_INOTIFY, "true"], capture_output=True).returncode:
        pytest.skip("needs a user namespace of its own")
    claude = script(cwd.parent, ECHO)
    argv = [*NO_INOTIFY, *PROGRAM, *SUBPROCESS, "0", "--claude", str(claude)]
    with Terminal(argv, env=environment(home), cwd=cwd) as terminal:
        terminal.wait_for(b"READY")
        seen = watch(port_in(terminal.output) or 0)
        session_id = seen.wait_event("session.start")["session_id"]
        seen.wait_event("system.error", component="watcher")
        todos = home / ".claude" / "todos"
        todos.mkdir(parents=True)
        item = {"id": "1", "content": "see it", "status": "pending", "activeForm": "seeing it"}
        (todos / f"{session_id}-agent-{session_id}.json").write_text(json.dumps([item]))
        (todo,) = seen.wait_event("todo.update")["todos"]
        assert todo["content"] == "see it"
        ends(terminal)
        seen.wait_ended()
    assert len(seen.all("system.error")) == 1
