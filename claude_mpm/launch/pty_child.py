"""Claude on a PTY of its own, between it and the user nothing but a copy loop."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import select
import signal
import termios
import threading
import time
from collections.abc import Callable

from claude_mpm.config import Limits
from claude_mpm.errors import ClaudeMpmError
from claude_mpm.launch.child import Child, Exit, OutputSink
from claude_mpm.launch.command import Command
from claude_mpm.launch.job import Job, spawn
from claude_mpm.launch.signals import Signals
from claude_mpm.launch.terminal import ModeTracker, Terminal, Winsize, rows_and_cols, set_winsize, winsize, write_all

log = logging.getLogger(__name__)

READ_SIZE = 65536
INPUT_WAITING = 65536  # bytes of send_input kept for Claude; more is refused
LAG_TIME = 0.05  # seconds; what was written to a PTY shows at its other end a moment later
SETTLE_TIME = 0.2  # seconds; Claude's last words to the terminal before it stops itself


class PtyChild(Child):
    """Claude with a controlling terminal: the size and settings of the user's, raw mode, bytes untouched both ways.

    Main thread only, but for `send_input`, `interrupt` and `resize`.
    """

    def __init__(
        self,
        command: Command,
        signals: Signals,
        limits: Limits,
        kill_tree: Callable[[int], None],
        terminal: Terminal,
        sink: OutputSink,
        on_resize: Callable[[int, int], None],
    ) -> None:
        super().__init__(command, signals, limits, kill_tree)
        self._terminal = terminal
        self._sink = sink
        self._on_resize = on_resize
        self._master = -1
        self._job: Job | None = None
        self._reader: _Reader | None = None
        self._to_claude = bytearray()  # read from the user or a client, not yet taken by Claude
        self._from_clients: list[bytes] = []
        self._clients_lock = threading.Lock()
        self._asked_size: Winsize | None = None

    def spawn(self) -> None:
        """Start Claude; LaunchFailed when the system refuses. The user's terminal is raw from here on."""
        self._master, slave = os.openpty()
        try:
            attributes = self._terminal.attributes()
            if attributes is not None:
                termios.tcsetattr(slave, termios.TCSANOW, attributes)
            size = self._terminal.winsize()
            set_winsize(slave, size)
            self._job = spawn(self._command, slave)
        except BaseException:
            os.close(self._master)
            raise
        finally:
            os.close(slave)
        self._pid = self._job.pid
        os.set_blocking(self._master, False)
        self._terminal.raw()
        self._on_resize(*rows_and_cols(size))
        self._reader = _Reader(self._master, self._terminal.out_fd, self._sink)
        self._reader.start()

    def run(self) -> Exit:
        """Copy keys until Claude ends; its output has been passed on to the last byte when this returns."""
        keys = True
        assert self._job is not None
        while self._exit is None:
            self._take_client_input()
            readers = [self._signals.fd, self._job.status_fd] + (
                [self._terminal.in_fd] if keys and not self._to_claude else []
            )
            writers = [self._master] if self._to_claude else []
            readable, writable, _ = select.select(readers, writers, [], self._timeout())
            if writable:
                self._write_keys()
            if self._terminal.in_fd in readable:
                keys = self._read_keys()
            self._handle_signals()
        assert self._reader is not None
        self._reader.finish(time.monotonic() + self._limits.drain_time)
        os.close(self._master)
        os.close(self._job.status_fd)
        os.waitpid(self._job.leader, 0)
        return self._exit

    # --- asked for by clients, any thread ---

    def send_input(self, text: str) -> None:
        """Type `text` for Claude. ClaudeMpmError when it takes nothing at the moment."""
        data = text.encode("utf-8", "replace")
        with self._clients_lock:
            if sum(map(len, self._from_clients)) + len(data) > INPUT_WAITING:
                raise ClaudeMpmError("Claude reads no input at the moment")
            self._from_clients.append(data)
        self._signals.wake()

    def interrupt(self) -> None:
        """Ctrl-C, as typed."""
        self.send_input("\x03")

    def resize(self, cols: int, rows: int) -> None:
        """Size Claude's terminal, until the user's own changes."""
        self._asked_size = winsize(rows, cols)
        self._signals.wake()

    # --- the loop's parts ---

    def _take_client_input(self) -> None:
        if not self._to_claude:
            with self._clients_lock:
                waiting, self._from_clients = self._from_clients, []
            self._to_claude += b"".join(waiting)
        asked, self._asked_size = self._asked_size, None
        if asked is not None:
            self._set_size(asked)

    def _read_keys(self) -> bool:
        """Returns whether more may come. The end of a terminal's input is its hangup."""
        try:
            data = os.read(self._terminal.in_fd, READ_SIZE)
        except BlockingIOError:
            return True
        except OSError:
            data = b""
        self._to_claude += data
        if not data:
            self._terminate(signal.SIGHUP)
        return bool(data)

    def _write_keys(self) -> None:
        try:
            written = os.write(self._master, self._to_claude[:4096])
        except BlockingIOError:
            return
        except OSError:  # EIO: nobody has the terminal open any more
            self._to_claude.clear()
            return
        del self._to_claude[:written]

    def _statuses(self) -> list[int]:
        assert self._job is not None
        if not select.select([self._job.status_fd], [], [], 0)[0]:
            return []
        return self._job.read_status() or [signal.SIGKILL]  # the leader was killed: the kernel hung up on Claude

    def _interrupt(self) -> None:
        """Not a signal to Claude: a key, so that it means what Ctrl-C means there."""
        self._to_claude += b"\x03"

    def _resized(self) -> None:
        self._set_size(self._terminal.winsize())

    def _set_size(self, size: Winsize) -> None:
        with contextlib.suppress(OSError):
            set_winsize(self._master, size)
            self._on_resize(*rows_and_cols(size))

    def _suspend(self) -> None:
        """Give the shell a sane terminal, stop, and when continued take everything up again."""
        assert self._reader is not None
        self._reader.settle(SETTLE_TIME)
        self._terminal.restore()
        self._send_group(signal.SIGSTOP)  # when it was us who were told to stop
        os.kill(os.getpid(), signal.SIGSTOP)
        self._terminal.raw()
        self._resized()
        self._send_group(signal.SIGCONT)

    def _send_group(self, number: int) -> None:
        with contextlib.suppress(OSError):
            os.killpg(self.pid, number)


class _Reader:
    """Thread `pty-reader`: Claude's bytes to the user's terminal first, then to the sink."""

    def __init__(self, master: int, out_fd: int, sink: OutputSink) -> None:
        self._master = master
        self._out = out_fd
        self._sink = sink
        self._modes = ModeTracker()
        self._wake_read, self._wake_write = os.pipe2(os.O_CLOEXEC)
        self._quiet = threading.Event()  # nothing is there to read at the moment
        self._thread = threading.Thread(target=self._run, name="pty-reader")

    def start(self) -> None:
        self._thread.start()

    def settle(self, timeout: float) -> None:
        """Wait until what Claude wrote so far is on the terminal."""
        self._quiet.clear()
        os.write(self._wake_write, b"s")
        self._quiet.wait(timeout)

    def finish(self, deadline: float) -> None:
        """After Claude's end: pass on the last byte, but do not wait for a grandchild that keeps the PTY open.

        Then switch off in the user's terminal what Claude left on.
        """
        os.write(self._wake_write, b"f")
        self._thread.join(max(deadline - time.monotonic(), 0.05))
        if self._thread.is_alive():  # somebody still writes to the PTY
            os.write(self._wake_write, b"q")
            self._thread.join()
        os.close(self._wake_read)
        os.close(self._wake_write)
        self._write(self._modes.undo())

    def _run(self) -> None:
        try:
            self._copy()
        except Exception:
            log.exception("pty-reader failed")
        finally:
            self._quiet.set()
            self._sink.finish()

    def _copy(self) -> None:
        ending = False
        while True:
            deadline = self._sink.deadline
            timeout = LAG_TIME if ending else None if deadline is None else max(deadline - time.monotonic(), 0.0)
            ready, _, _ = select.select([self._master, self._wake_read], [], [], timeout)
            if self._master in ready and not self._read():
                return
            if self._wake_read in ready:
                asked = os.read(self._wake_read, 64)
                if b"q" in asked:
                    return
                ending = ending or b"f" in asked
            if self._master not in ready:
                self._quiet.set()
                if ending and not ready:
                    return  # Claude is dead and nothing is left in the PTY
            self._sink.tick()

    def _read(self) -> bool:
        """Copy what is there. False at the end (EIO: the last process closed the terminal)."""
        try:
            data = os.read(self._master, READ_SIZE)
        except BlockingIOError:
            return True
        except OSError as error:
            if error.errno != errno.EIO:
                log.warning("Claude's terminal cannot be read: %s", error.strerror)
            return False
        if data:
            self._write(data)
            self._modes.feed(data)
            self._sink.feed(data)
        return bool(data)

    def _write(self, data: bytes) -> None:
        if self._out < 0 or not data:
            return
        try:
            write_all(self._out, data)
        except OSError:  # the user's terminal is gone: SIGHUP is on its way, Claude goes on until then
            self._out = -1
