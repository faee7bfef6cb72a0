"""Claude without a terminal (`-p`, a pipe): stdout and stderr pass through unmixed and unchanged, stdin is its own."""

from __future__ import annotations

import errno
import logging
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable

from claude_mpm.config import Limits
from claude_mpm.errors import LaunchFailed
from claude_mpm.launch.child import Child, Exit
from claude_mpm.launch.command import Command
from claude_mpm.launch.reader import AFTER_END, READ_SIZE, OutputSink, Reader, SinkFor
from claude_mpm.launch.signals import Signals, suspend_job
from claude_mpm.launch.terminal import write_all

log = logging.getLogger(__name__)


class PipeChild(Child):
    """Claude with pipes for stdout and stderr. It inherits stdin and our process group."""

    def __init__(
        self, command: Command, signals: Signals, limits: Limits, kill_tree: Callable[[int], None], sink_for: SinkFor
    ) -> None:
        super().__init__(command, signals, limits, kill_tree)
        self._sink_for = sink_for
        self._process: subprocess.Popen[bytes] | None = None

    def spawn(self) -> None:
        """Start Claude; LaunchFailed when the system refuses."""
        try:
            process = subprocess.Popen(
                self._command.argv,
                executable=self._command.executable,
                env=dict(self._command.env),
                bufsize=0,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                close_fds=False,  # the user's own (`--mcp-config <(...)`) are Claude's too; ours close on exec
            )
        except OSError as error:
            reason = error.strerror or str(error)
            raise LaunchFailed(f"{self._command.executable} cannot be started: {reason}") from None
        assert process.stdout is not None and process.stderr is not None
        self._process = process
        self._pid = process.pid
        drain_time = self._limits.drain_time
        copiers = [
            _Copier("stdout-reader", process.stdout.fileno(), 1, self._sink_for("stdout"), drain_time, self._signals),
            _Copier("stderr-reader", process.stderr.fileno(), 2, self._sink_for("stderr"), drain_time, self._signals),
        ]
        self._readers = copiers
        for copier in copiers:
            copier.start()

    def run(self) -> Exit:
        """Wait for Claude's end, and a moment for what it wrote last to be passed on. Then close()."""
        while self._exit is None:
            select.select([self._signals.fd], [], [], self._timeout())
            self._handle_signals()
        for copier in self._readers:
            copier.claude_ended()
        self._drain(time.monotonic() + self._limits.drain_time + 0.1)
        return self._exit

    def _drained(self) -> None:
        assert self._process is not None and self._process.stdout is not None and self._process.stderr is not None
        self._process.stdout.close()
        self._process.stderr.close()

    def interrupt(self) -> None:
        """SIGINT to Claude. Any thread."""
        self._send(signal.SIGINT)

    def _statuses(self) -> list[int]:
        assert self._process is not None
        pid, status = os.waitpid(self.pid, os.WNOHANG | os.WUNTRACED)
        if pid == 0:
            return []
        if not os.WIFSTOPPED(status):
            self._process.returncode = os.waitstatus_to_exitcode(status)
        return [status]

    def _interrupt(self) -> None:
        """Ctrl-C at the terminal went to the whole foreground group, so Claude has it; a `kill -INT` did not."""
        if not _in_foreground():
            self._send(signal.SIGINT)

    def _suspend(self, stopped: bool) -> None:
        suspend_job()
        self._send(signal.SIGCONT)


def _in_foreground() -> bool:
    """Whether the keyboard's signals go to our process group."""
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK)
    except OSError:  # we have none
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)


class _Copier(Reader):
    """Thread: reads one pipe of Claude's, writes to our own stream, then hands on what passed."""

    def __init__(
        self, name: str, from_fd: int, to_fd: int, sink: OutputSink, drain_time: float, signals: Signals
    ) -> None:
        super().__init__(name, sink, drain_time, signals)
        self._from = from_fd
        self._to = to_fd

    def _copy(self) -> None:
        until: float | None = None  # set when Claude has ended
        left = AFTER_END
        while left > 0:
            deadline = self._sink.deadline if until is None else until
            timeout = None if deadline is None else max(deadline - time.monotonic(), 0.0)
            fds = [self._from, self._wake_read] if until is None else [self._from]
            ready, _, _ = select.select(fds, [], [], timeout)
            if self._from in ready:
                data = os.read(self._from, READ_SIZE)
                left -= len(data) if until is not None else 0
                if not self._pass_on(data):
                    return
            elif until is not None:
                return  # a grandchild has the pipe, and says nothing
            if self._wake_read in ready:
                until = time.monotonic() + self._drain_time
            self._sink.tick()

    def _pass_on(self, data: bytes) -> bool:
        if not data:
            return False
        try:
            write_all(self._to, data)
        except OSError as error:
            if error.errno != errno.EPIPE:
                log.warning("our output cannot be written: %s", error.strerror)
            self._sink.feed(data)
            # our reader left: let Claude see the same, a pipe nobody reads
            null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
            os.dup2(null, self._from, inheritable=False)
            os.close(null)
            return False
        self._sink.feed(data)
        return True
