"""Claude on a PTY of its own, between it and the user nothing but a copy loop."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import termios
import threading
import time
from collections.abc import Callable

from claude_mpm.config import Limits
from claude_mpm.errors import ClaudeMpmError, LaunchFailed
from claude_mpm.launch.child import FORWARDED, Child, Exit
from claude_mpm.launch.command import Command
from claude_mpm.launch.job import Job, spawn
from claude_mpm.launch.pty_reader import PtyReader
from claude_mpm.launch.reader import READ_SIZE, OutputSink
from claude_mpm.launch.signals import Signals, suspend_job
from claude_mpm.launch.terminal import Terminal, Winsize, rows_and_cols, set_winsize, winsize

INPUT_WAITING = 65536  # bytes of send_input kept for Claude; more is refused
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
        self._reader: PtyReader | None = None
        self._to_claude = bytearray()  # read from the user or a client, not yet taken by Claude
        self._from_clients: list[bytes] = []
        self._clients_lock = threading.Lock()
        self._asked_size: Winsize | None = None
        self._stops_of_ours = 0  # SIGSTOPs we sent that the leader will tell of

    def spawn(self) -> None:
        """Start Claude; LaunchFailed when the system refuses. The user's terminal is raw from here on.

        In the background (`&`) it waits for `fg` first: until then the terminal has the shell's settings.
        """
        ours = self._terminal.claim(self._told_to_end)
        try:
            self._master, slave = os.openpty()
        except OSError as error:
            raise LaunchFailed(f"there is no terminal left for Claude: {error.strerror or error}") from None
        try:
            attributes = self._terminal.attributes()
            if attributes is not None:
                termios.tcsetattr(slave, termios.TCSANOW, attributes)
            size = self._terminal.winsize()
            set_winsize(slave, size)
            self._job = spawn(self._command, slave)
        except OSError as error:
            os.close(self._master)
            raise LaunchFailed(f"{self._command.executable} cannot be started: {error.strerror or error}") from None
        except BaseException:
            os.close(self._master)
            raise
        finally:
            os.close(slave)
        self._pid = self._job.pid
        os.set_blocking(self._master, False)
        if ours:
            self._terminal.raw()
        self._on_resize(*rows_and_cols(size))
        self._reader = PtyReader(
            self._master, self._terminal.out_fd, self._sink, self._limits.drain_time, self._signals
        )
        self._readers = [self._reader]
        self._reader.start()

    def run(self) -> Exit:
        """Copy keys until Claude ends, and give what it wrote last a moment to be passed on. Then close()."""
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
        os.close(self._job.status_fd)
        os.waitpid(self._job.leader, 0)
        self._reader.claude_ended()
        self._drain(time.monotonic() + self._limits.drain_time + 0.1)
        return self._exit

    def close(self) -> None:
        if self._readers:
            self._terminal.restore()  # Ctrl-C is a signal again, and Ctrl-Q works
        super().close()

    def _drained(self) -> None:
        os.close(self._master)
        self._terminal.restore()

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
        statuses = self._job.read_status()
        if not statuses:  # the leader was killed, so nobody can tell us of Claude, and it has lost its terminal
            self._kill_tree(0)
            self._send(signal.SIGKILL)
            self._kill_tree(signal.SIGKILL)
            return [signal.SIGKILL]
        return [status for status in statuses if not self._is_our_stop(status)]

    def _is_our_stop(self, status: int) -> bool:
        if self._stops_of_ours and os.WIFSTOPPED(status) and os.WSTOPSIG(status) == signal.SIGSTOP:
            self._stops_of_ours -= 1
            return True
        return False

    def _interrupt(self) -> None:
        """Not a signal to Claude: a key, so that it means what Ctrl-C means there."""
        self._to_claude += b"\x03"

    def _resized(self) -> None:
        self._set_size(self._terminal.winsize())

    def _set_size(self, size: Winsize) -> None:
        with contextlib.suppress(OSError):
            set_winsize(self._master, size)
            self._on_resize(*rows_and_cols(size))

    def _suspend(self, stopped: bool) -> None:
        """Give the shell a sane terminal, stop, and when continued take everything up again."""
        assert self._reader is not None
        self._reader.settle(SETTLE_TIME)
        self._terminal.restore()
        if not stopped:
            self._stops_of_ours += 1
            self._send_group(signal.SIGSTOP)
        suspend_job()
        self._continued()
        self._send_group(signal.SIGCONT)

    def _continued(self) -> None:
        if self._terminal.claim(self._told_to_end):
            self._terminal.raw()
            self._resized()

    def _told_to_end(self) -> bool:
        return self._kill_at is not None or not self._signals.pending().isdisjoint(FORWARDED)

    def _send_group(self, number: int) -> None:
        with contextlib.suppress(OSError):
            os.killpg(self.pid, number)
