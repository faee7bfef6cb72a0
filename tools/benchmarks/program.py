"""The program as a user runs it: on a terminal, with an environment built from nothing and a stand-in for Claude."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import psutil
from checkout import ROOT

HERE = Path(__file__).parent
PATIENCE = 60.0  # seconds; a measurement that hangs fails with a message instead of waiting forever
END_TIME = 10.0  # seconds; claude-mpm promises to be gone five seconds after SIGTERM
EXEC = ("--websocket", "--websocket-port", "0")
SUBPROCESS = (*EXEC, "--launch-method", "subprocess")


class World(NamedTuple):
    """A temporary home, an executable in Claude's place, and the environment in which both are used."""

    home: Path
    claude: Path
    env: dict[str, str]

    def program(self, *args: str) -> list[str]:
        """The command line of claude-mpm with the stand-in; `args` are its own options."""
        return [sys.executable, "-m", "claude_mpm", *args, "--claude", str(self.claude)]


@contextmanager
def world(stand_in: str) -> Iterator[World]:
    """A World whose Claude is the script `stand_in`, shebang line included. Removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="claude-mpm-bench-", ignore_cleanup_errors=True) as name:
        home, claude = Path(name), Path(name) / "claude"
        claude.write_text(stand_in, encoding="utf-8")
        claude.chmod(0o755)
        yield World(
            home,
            claude,
            {
                "PATH": "/usr/local/bin:/usr/bin:/bin",
                "HOME": name,
                "CLAUDE_CONFIG_DIR": str(home / ".claude"),
                "TERM": "xterm-256color",
                "LANG": "C.UTF-8",
                "PYTHONPATH": str(ROOT),
            },
        )


def python_script(text: str) -> str:
    """A stand-in in Python. `-S -E` starts it quickly, and it imports nothing of ours."""
    return f"#!{sys.executable} -SE\n{text}"


class Terminal:
    """A program on a terminal of its own, of 120 by 40 cells. Not thread-safe; the caller must read what it shows."""

    def __init__(self, pid: int, master: int) -> None:
        self.pid, self.master = pid, master

    def write(self, data: bytes) -> None:
        os.write(self.master, data)

    def read(self, timeout: float) -> bytes:
        """What the program has shown, at most 64 KiB. Blocks for at most `timeout` seconds; b"" if nothing came.

        Raises:
            EOFError: the program closed the terminal.
        """
        if not select.select([self.master], [], [], max(timeout, 0))[0]:
            return b""
        try:
            data = os.read(self.master, 1 << 16)
        except OSError:  # EIO is how Linux tells that the last slave was closed
            data = b""
        if not data:
            raise EOFError("the program closed its terminal")
        return data

    def read_until(self, mark: bytes) -> tuple[bytes, int]:
        """The end of what was shown, with `mark` in it, and how many bytes came in all. TimeoutError, EOFError."""
        seen, count, deadline = b"", 0, time.monotonic() + PATIENCE
        while mark not in seen:
            try:
                data = self.read(deadline - time.monotonic())
            except EOFError:
                raise EOFError(f"the program ended; it had shown {seen[-300:].decode(errors='replace')!r}") from None
            if not data:
                raise TimeoutError(f"{mark!r} was not shown within {PATIENCE:g} s")
            count, seen = count + len(data), seen[-4000:] + data
        return seen, count

    def read_for(self, seconds: float) -> None:
        """Keep the terminal flowing, and throw away what is shown."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            self.read(left)

    def wait(self) -> int:
        """Read to the program's end; returns its wait status. TimeoutError."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.pid = 0
                return status
            with contextlib.suppress(EOFError):
                self.read(0.0005)
        raise TimeoutError(f"process {self.pid} did not end within {PATIENCE:g} s")


@contextmanager
def on_terminal(argv: Sequence[str], env: dict[str, str], cwd: Path, pass_fd: int = -1) -> Iterator[Terminal]:
    """Run `argv` on a new terminal, end it afterwards. `pass_fd`, if given, is descriptor 3 in the program."""
    pid, master = pty.fork()
    if pid == 0:
        try:
            if pass_fd >= 0:
                os.dup2(pass_fd, 3, inheritable=True)
            os.chdir(cwd)
            os.execve(argv[0], list(argv), env)
        finally:
            os._exit(127)
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    terminal = Terminal(pid, master)
    try:
        yield terminal
    finally:
        if terminal.pid:
            _end(terminal)
        os.close(master)


def _end(terminal: Terminal) -> None:
    """SIGTERM, then SIGKILL, to the program we started and to what it started."""
    pid, family = terminal.pid, []
    with contextlib.suppress(psutil.Error):
        family = psutil.Process(pid).children(recursive=True)
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + END_TIME
    while os.waitpid(pid, os.WNOHANG)[0] == 0:
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            break
        with contextlib.suppress(EOFError):
            terminal.read(0.01)
    for process in family:
        with contextlib.suppress(psutil.Error):
            process.kill()


def port_in(shown: bytes) -> int:
    """The port in the line that claude-mpm prints before Claude starts."""
    return int(shown.partition(b"http://localhost:")[2].partition(b"/")[0])


def monitor_of(front: int, port: int) -> int:
    """The pid of the process that listens on `port`: `front` itself, or one of its descendants.

    Raises:
        LookupError: none of them does.
    """
    for process in _family(front):
        with contextlib.suppress(psutil.Error):
            for found in process.net_connections("tcp"):
                if found.status == psutil.CONN_LISTEN and found.laddr.port == port:
                    return process.pid
    raise LookupError(f"neither process {front} nor a descendant of it listens on port {port}")


def _family(front: int) -> list[psutil.Process]:
    """`front`, its descendants, and whoever was started in its directory: a monitor may have left the family."""
    first = psutil.Process(front)
    found, home = [*first.children(recursive=True), first], first.environ().get("HOME")
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process not in found and process.environ().get("HOME") == home:
                found.append(process)
    return found


def status(port: int) -> dict[str, object]:
    """`data` of the status document. OSError, ValueError."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/status", timeout=PATIENCE) as answer:
        data = json.load(answer)["data"]
    assert isinstance(data, dict)
    return data


def transcript_path(where: World, port: int) -> tuple[Path, str]:
    """Where Claude would write the session's transcript, and the session's id, which the monitor knows in advance."""
    deadline = time.monotonic() + PATIENCE
    while not (session := status(port).get("session_id")):
        if time.monotonic() > deadline:
            raise TimeoutError("the session never got an id")
        time.sleep(0.05)
    slug = re.sub("[^a-zA-Z0-9]", "-", str(where.home.resolve()))
    return where.home / ".claude" / "projects" / slug / f"{session}.jsonl", str(session)


@contextmanager
def script(name: str, *args: object) -> Iterator[subprocess.Popen[str]]:
    """A script of this folder in a process of its own. It ends when its standard input does."""
    argv = [sys.executable, str(HERE / name), *map(str, args)]
    with piped(argv) as process:
        yield process


@contextmanager
def piped(
    argv: Sequence[str], env: dict[str, str] | None = None, stderr: int | None = None
) -> Iterator[subprocess.Popen[str]]:
    """`argv` with pipes for its input and output, `stderr` as for Popen. It is ended by closing its input, and killed if that does not help.

    It runs in a session of its own: a Ctrl-C is for the tool, which then ends what it started.
    """
    process = subprocess.Popen(
        argv,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        env=env,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.stdin and not process.stdin.closed:
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()
        try:
            process.wait(END_TIME)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout:
            process.stdout.close()


def line_from(process: subprocess.Popen[str]) -> str:
    """The next line the script prints. TimeoutError; ChildProcessError if it ended instead."""
    assert process.stdout is not None
    if not select.select([process.stdout], [], [], PATIENCE)[0]:
        raise TimeoutError(f"{process.args!r} printed nothing for {PATIENCE:g} s")
    if not (line := process.stdout.readline()):
        raise ChildProcessError(f"{process.args!r} ended early")
    return line.strip()


def tell(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdin is not None
    process.stdin.write(f"{line}\n")
    process.stdin.flush()
