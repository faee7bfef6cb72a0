"""Claude without a terminal (`-p`, a pipe): stdout and stderr pass through unmixed and unchanged, stdin is its own."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import time
from collections.abc import Callable
from functools import partial

from claude_mpm.config import Limits
from claude_mpm.errors import LaunchFailed
from claude_mpm.launch.channel.channel import Channel
from claude_mpm.launch.child.child import Child
from claude_mpm.launch.child.exit_status import ExitStatus
from claude_mpm.launch.child.reader import AFTER_END, READ_SIZE, HandOn, Reader
from claude_mpm.launch.child.terminal import write_all
from claude_mpm.launch.command.command_line import Command
from claude_mpm.system.channel_format import STDERR, STDOUT
from claude_mpm.system.poll import wait_ready
from claude_mpm.system.signals import Signals, suspend_job


class PipeChild(Child):
    """Claude with pipes for stdout and stderr. It inherits stdin and our process group."""

    def __init__(self, command: Command, signals: Signals, limits: Limits, channel: Channel) -> None:
        super().__init__(command, signals, limits, channel)
        self._process: subprocess.Popen[bytes] | None = None

    def spawn(self) -> None:
        """Start Claude. Raises LaunchFailed when the system refuses."""
        try:
            process = subprocess.Popen(
                self._command.argv,
                executable=self._command.executable,
                env=dict(self._command.env),
                bufsize=0,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                close_fds=False,  # those the user opened (`--mcp-config <(...)`) are for Claude; ours close on exec
            )
        except OSError as error:
            reason = error.strerror or str(error)
            raise LaunchFailed(f"{self._command.executable} cannot be started: {reason}") from None
        assert process.stdout is not None and process.stderr is not None
        self._process = process
        self._pid = process.pid
        drain_time, output = self._limits.drain_time, self._channel.output
        copiers = [
            _Copier(
                name, stream.fileno(), fd, partial(output.put, kind), self._channel.remark, drain_time, self._signals
            )
            for name, stream, fd, kind in (
                ("stdout-reader", process.stdout, 1, STDOUT),
                ("stderr-reader", process.stderr, 2, STDERR),
            )
        ]
        self._readers = copiers
        for copier in copiers:
            copier.start()

    def run(self) -> ExitStatus:
        """Wait for Claude's end, and a moment for what it wrote last to be passed on. Then close()."""
        while self._exit is None:
            self._wait([])
            self._handle_signals()
        for copier in self._readers:
            copier.claude_ended()
        self._drain(time.monotonic() + self._limits.drain_time + 0.1)
        return self._exit

    def _drained(self) -> None:
        assert self._process is not None and self._process.stdout is not None and self._process.stderr is not None
        self._process.stdout.close()
        self._process.stderr.close()

    def _interrupt_claude(self) -> None:
        self._send(signal.SIGINT)

    def _statuses(self) -> list[int]:
        assert self._process is not None
        pid, status = os.waitpid(self.pid, os.WNOHANG | os.WUNTRACED)
        if pid == 0:
            return []
        if not os.WIFSTOPPED(status):
            self._process.returncode = os.waitstatus_to_exitcode(status)
        return [status]

    def _interrupted(self) -> None:
        """Pass SIGINT on, unless it came from the keyboard: then the whole foreground group got it, Claude included."""
        if not _in_foreground():
            self._send(signal.SIGINT)

    def _suspend(self, stopped: bool) -> None:
        suspend_job()
        self._send(signal.SIGCONT)


def _in_foreground() -> bool:
    """Whether signals from the keyboard go to our process group."""
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK)
    except OSError:  # we have no terminal
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)


class _Copier(Reader):
    """Reads one pipe of Claude's, writes to our own stream, then hands on what passed."""

    def __init__(
        self,
        name: str,
        from_fd: int,
        to_fd: int,
        hand_on: HandOn,
        remark: Callable[[str], None],
        drain_time: float,
        signals: Signals,
    ) -> None:
        super().__init__(name, hand_on, remark, drain_time, signals)
        self._from = from_fd
        self._to = to_fd

    def _copy(self) -> None:
        until: float | None = None  # set when Claude has ended
        after_end = AFTER_END
        while after_end > 0:
            timeout = None if until is None else max(until - time.monotonic(), 0.0)
            ready, _ = wait_ready([self._from] if until is not None else [self._from, self._wake_read], (), timeout)
            if self._from in ready:
                data = os.read(self._from, READ_SIZE)
                after_end -= len(data) if until is not None else 0
                if not self._pass_on(data):
                    return
            elif until is not None:
                return  # a grandchild has the pipe, and says nothing
            if self._wake_read in ready:
                until = time.monotonic() + self._drain_time

    def _pass_on(self, data: bytes) -> bool:
        if not data:
            return False
        try:
            write_all(self._to, data)
        except OSError as error:
            if error.errno != errno.EPIPE:
                self._remark(f"our output cannot be written: {error.strerror}")
            self._hand_on(data)
            # Our reader has left: let Claude see the same, a pipe nobody reads.
            null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
            os.dup2(null, self._from, inheritable=False)
            os.close(null)
            return False
        self._hand_on(data)
        return True
