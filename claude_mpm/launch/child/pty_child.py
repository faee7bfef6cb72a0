"""Claude on a PTY of its own, with nothing but a copy loop between it and the user."""

from __future__ import annotations

import contextlib
import os
import signal
import termios
import time
from collections.abc import Mapping
from typing import Any

from claude_mpm.config import Limits
from claude_mpm.errors import LaunchFailed
from claude_mpm.launch.channel.channel import Channel
from claude_mpm.launch.child.child import FORWARDED, Child
from claude_mpm.launch.child.exit_status import ExitStatus
from claude_mpm.launch.child.job import Job, spawn
from claude_mpm.launch.child.pty_reader import PtyReader
from claude_mpm.launch.child.reader import READ_SIZE
from claude_mpm.launch.child.terminal import Terminal, Winsize, rows_and_cols, set_winsize, winsize
from claude_mpm.launch.child.typed_keys import has_keys
from claude_mpm.launch.command.command_line import Command
from claude_mpm.system.channel_format import STDOUT
from claude_mpm.system.poll import wait_ready
from claude_mpm.system.signals import Signals, suspend_job

SETTLE_TIME = 0.2  # seconds; Claude's last words to the terminal before it stops itself


class PtyChild(Child):
    """Claude with a controlling terminal of the user's size and settings. Bytes pass unchanged both ways."""

    def __init__(
        self, command: Command, signals: Signals, limits: Limits, channel: Channel, terminal: Terminal
    ) -> None:
        super().__init__(command, signals, limits, channel)
        self._terminal = terminal
        self._master = -1
        self._job: Job | None = None
        self._reader: PtyReader | None = None
        self._to_claude = bytearray()  # typed by the user or a client, not yet taken by Claude
        self._from_clients = bytearray()  # typed by clients, behind the above; the monitor bounds it
        self._reports_keys = False  # the monitor wants to know when the user types
        self._typed_by_clients = 0  # bytes at the end of _to_claude that are theirs
        self._stops_of_ours = 0  # SIGSTOPs we sent that the leader has not reported yet

    def spawn(self) -> None:
        """Start Claude, and put the user's terminal into raw mode. Raises LaunchFailed when the system refuses.

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
        self._channel.output.put_size(*rows_and_cols(size))
        self._reader = PtyReader(
            self._master,
            self._terminal.out_fd,
            self._hand_on,
            self._channel.remark,
            self._limits.drain_time,
            self._signals,
        )
        self._readers = [self._reader]
        self._reader.start()

    def run(self) -> ExitStatus:
        """Copy keys until Claude ends, and give what it wrote last a moment to be passed on. Then close()."""
        keys = True
        assert self._job is not None
        while self._exit is None:
            self._take_client_input()
            readers = [self._job.status_fd] + ([self._terminal.in_fd] if keys and not self._to_claude else [])
            readable, writable = self._wait(readers, [self._master] if self._to_claude else [])
            if self._master in writable:
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

    def _hand_on(self, data: bytes) -> None:
        self._channel.output.put(STDOUT, data)

    # --- what clients ask for ---

    def _interrupt_claude(self) -> None:
        """Ctrl-C, as typed."""
        self._to_claude += b"\x03"

    def _do_on_terminal(self, request: Mapping[str, Any]) -> None:
        if request["request"] == "input":
            self._from_clients += str(request["text"]).encode("utf-8", "replace")
        elif request["request"] == "resize":
            self._set_size(winsize(request["rows"], request["cols"]))  # until the user's own changes
        elif request["request"] == "report_keys":
            self._reports_keys = True

    # --- the loop's parts ---

    def _take_client_input(self) -> None:
        """Let clients type when the user's keys have been taken."""
        if self._from_clients and not self._to_claude:
            self._typed_by_clients = len(self._from_clients)
            self._to_claude, self._from_clients = self._from_clients, bytearray()

    def _read_keys(self) -> bool:
        """Read what was typed, and return whether more may come. End of input means that the terminal hung up."""
        try:
            data = os.read(self._terminal.in_fd, READ_SIZE)
        except BlockingIOError:
            return True
        except OSError:
            data = b""
        self._to_claude += data
        if self._reports_keys and has_keys(data):
            self._channel.tell("keys", time=time.time())
        if not data:
            self._terminate(signal.SIGHUP)
        return bool(data)

    def _write_keys(self) -> None:
        try:
            written = os.write(self._master, self._to_claude[:4096])
        except BlockingIOError:
            return
        except OSError:  # EIO: nobody has the terminal open any more
            written = len(self._to_claude)
        del self._to_claude[:written]
        if self._typed_by_clients and not self._to_claude:
            self._channel.tell("typed", bytes=self._typed_by_clients)
            self._typed_by_clients = 0

    def _statuses(self) -> list[int]:
        assert self._job is not None
        if not wait_ready([self._job.status_fd], timeout=0)[0]:
            return []
        statuses = self._job.read_status()
        if not statuses:  # the leader was killed: Claude has lost its terminal, and nobody can report its end
            self._descendants.remember(self.pid)
            self._send(signal.SIGKILL)
            self._descendants.kill()
            return [signal.SIGKILL]
        return [status for status in statuses if not self._is_our_stop(status)]

    def _is_our_stop(self, status: int) -> bool:
        if self._stops_of_ours and os.WIFSTOPPED(status) and os.WSTOPSIG(status) == signal.SIGSTOP:
            self._stops_of_ours -= 1
            return True
        return False

    def _interrupted(self) -> None:
        """Not a signal to Claude but a key, so that it means what Ctrl-C means there."""
        self._to_claude += b"\x03"

    def _resized(self) -> None:
        self._set_size(self._terminal.winsize())

    def _set_size(self, size: Winsize) -> None:
        with contextlib.suppress(OSError):
            set_winsize(self._master, size)
            self._channel.output.put_size(*rows_and_cols(size))

    def _suspend(self, stopped: bool) -> None:
        """Restore the terminal for the shell, stop, and take everything up again when continued."""
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
