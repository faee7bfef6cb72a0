"""A terminal to sit at: runs a program on a PTY as its controlling terminal, types, and sees what it shows.

with Terminal([sys.executable, "-m", "claude_mpm"], env=env, cwd=path) as terminal:
    terminal.wait_for(b"ready")
    terminal.write(b"/exit\\r")
    assert terminal.wait() == 0
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import struct
import subprocess
import termios
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil
from support import TIMEOUT, wait_until

DRAIN_TIME = 1.0  # seconds; a grandchild that keeps the terminal open does not hold wait() longer
Attributes = list[Any]  # what termios.tcgetattr returns


class Terminal:
    """A program on a PTY. Start it with `with` or start(); any thread may call anything.

    Attributes:
        pid: of the program, from start() on; it leads a session of its own, in the terminal's foreground.
        initial: the terminal's settings before the program could change them, from start() on.
    """

    def __init__(
        self,
        argv: Sequence[str | os.PathLike[str]],
        env: Mapping[str, str] | None = None,
        cwd: str | os.PathLike[str] | None = None,
        rows: int = 24,
        cols: int = 80,
    ) -> None:
        self.argv, self.env, self.cwd = [os.fspath(arg) for arg in argv], env, cwd
        self.rows, self.cols = rows, cols
        self.pid = -1
        self.initial: Attributes = []
        self._output = bytearray()
        self._grown = threading.Condition()
        self._ended = False  # the reader has seen the end of the output
        self._process: subprocess.Popen[bytes] | None = None
        self._master = self._slave = self._wake = self._woken = -1
        self._last_attributes: Attributes = []
        self._reader = threading.Thread(target=self._read, name="terminal-reader")

    # --- beginning and end ---

    def start(self) -> Terminal:
        """Run the program; the terminal has its size before that. Raises OSError when it cannot be started."""
        self._master, self._slave = os.openpty()
        self._woken, self._wake = os.pipe()
        self.resize(self.rows, self.cols)
        self.initial = termios.tcgetattr(self._slave)
        try:
            self._process = subprocess.Popen(
                self.argv,
                env=self.env,
                cwd=self.cwd,
                stdin=self._slave,
                stdout=self._slave,
                stderr=self._slave,
                start_new_session=True,
                preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
            )
        except BaseException:
            self._close_fds()
            raise
        self.pid = self._process.pid
        self._reader.start()
        return self

    def wait(self, timeout: float = TIMEOUT) -> int:
        """The exit code, negative for the signal that ended it, once all it wrote has been read."""
        assert self._process is not None
        try:
            code = self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.argv[0]} did not end in {timeout:g} s; it shows {self.tail()!r}") from None
        if self._slave >= 0:  # ours was the last one open: now the reader sees the end
            self._last_attributes = termios.tcgetattr(self._slave)
            os.close(self._slave)
            self._slave = -1
        with self._grown:
            self._grown.wait_for(lambda: self._ended, DRAIN_TIME)
        return code

    def close(self) -> None:
        """Kill what runs, free everything. Idempotent."""
        if self._process is None:
            return
        started = []
        with contextlib.suppress(psutil.NoSuchProcess):
            started = psutil.Process(self.pid).children(recursive=True)
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        for process in started:  # some lead sessions of their own
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self._process = None
        self.hang_up()

    def _close_fds(self) -> None:
        for fd in (self._master, self._slave, self._wake, self._woken):
            if fd >= 0:
                os.close(fd)
        self._master = self._slave = self._wake = self._woken = -1

    def __enter__(self) -> Terminal:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- the user's hands ---

    def write(self, data: bytes) -> None:
        """Type `data`. Blocks while the program does not read."""
        view = memoryview(data)
        while view:
            view = view[os.write(self._master, view) :]

    def resize(self, rows: int, cols: int) -> None:
        """Another size; the program gets SIGWINCH."""
        self.rows, self.cols = rows, cols
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))

    def hang_up(self) -> None:
        """The window is closed: input ends, and the kernel sends SIGHUP. Idempotent."""
        if self._wake >= 0:
            os.write(self._wake, b"x")
            self._reader.join()
            self._close_fds()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the program itself, not to its group."""
        assert self._process is not None
        self._process.send_signal(number)

    # --- the user's eyes ---

    @property
    def output(self) -> bytes:
        """All it wrote so far."""
        with self._grown:
            return bytes(self._output)

    def tail(self, size: int = 1000) -> bytes:
        """The end of the output, for messages."""
        with self._grown:
            return bytes(self._output[-size:])

    def wait_for(self, what: bytes | Callable[[], object], timeout: float = TIMEOUT, *, since: int = 0) -> int:
        """Wait until `what` was written at or after byte `since`, or until `what()` is true.

        Returns the length of the output, up to and including `what`: the next call's `since`.
        """
        deadline = time.monotonic() + timeout
        if not isinstance(what, bytes):
            try:
                wait_until(what, "what the terminal waits for", timeout)
            except AssertionError as error:
                raise AssertionError(f"{error}; it shows {self.tail()!r}") from None
            return len(self.output)
        with self._grown:
            while (found := self._output.find(what, since)) < 0:
                left = deadline - time.monotonic()
                if self._ended or left <= 0 or not self._grown.wait(left):
                    raise AssertionError(f"{what!r} never came; it shows {bytes(self._output[-1000:])!r}")
        return found + len(what)

    def wait_quiet(self, quiet: float = 0.3, timeout: float = TIMEOUT) -> int:
        """Wait until nothing was written for `quiet` seconds. Returns the length of the output."""
        deadline = time.monotonic() + timeout
        with self._grown:
            while time.monotonic() < deadline:
                if self._ended or not self._grown.wait(quiet):
                    return len(self._output)
        raise AssertionError(f"it never came to rest; it shows {self.tail()!r}")

    def attributes(self) -> Attributes:
        """The terminal's settings as tcgetattr has them; after wait(), as the program left them."""
        return termios.tcgetattr(self._slave) if self._slave >= 0 else self._last_attributes

    def is_raw(self) -> bool:
        """Whether keys go to the program one by one, Ctrl-C too."""
        return not self.attributes()[3] & (termios.ICANON | termios.ECHO | termios.ISIG)

    def _read(self) -> None:
        poll = select.poll()
        poll.register(self._master, select.POLLIN)
        poll.register(self._woken, select.POLLIN)
        while True:
            ready = dict(poll.poll())
            data = b""
            if self._master in ready:
                with contextlib.suppress(OSError):  # EIO: the last slave was closed
                    data = os.read(self._master, 65536)
            elif self._woken in ready:
                return
            with self._grown:
                self._output += data
                self._ended = not data
                self._grown.notify_all()
            if not data:
                return


def is_running(pid: int) -> bool:
    """Whether the process is there and no zombie."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"
