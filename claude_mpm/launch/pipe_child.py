"""Claude without a terminal (`-p`, a pipe): stdout and stderr pass through unmixed and unchanged, stdin is its own."""

from __future__ import annotations

import errno
import logging
import os
import select
import signal
import subprocess
import threading
import time

from claude_mpm.config import Limits
from claude_mpm.errors import LaunchFailed
from claude_mpm.launch.child import Child, Exit, OutputSink, SinkFor
from claude_mpm.launch.command import Command
from claude_mpm.launch.signals import Signals
from claude_mpm.launch.terminal import write_all

log = logging.getLogger(__name__)

READ_SIZE = 65536


class PipeChild(Child):
    """Claude with pipes for stdout and stderr. It inherits stdin and our process group."""

    def __init__(
        self, command: Command, signals: Signals, limits: Limits, kill_tree: object, sink_for: SinkFor
    ) -> None:
        super().__init__(command, signals, limits, kill_tree)  # type: ignore[arg-type]
        self._sink_for = sink_for
        self._process: subprocess.Popen[bytes] | None = None
        self._copiers: list[_Copier] = []

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
            )
        except OSError as error:
            reason = error.strerror or str(error)
            raise LaunchFailed(f"{self._command.executable} cannot be started: {reason}") from None
        assert process.stdout is not None and process.stderr is not None
        self._process = process
        self._pid = process.pid
        self._copiers = [
            _Copier("stdout-reader", process.stdout.fileno(), 1, self._sink_for("stdout")),
            _Copier("stderr-reader", process.stderr.fileno(), 2, self._sink_for("stderr")),
        ]
        for copier in self._copiers:
            copier.start()

    def run(self) -> Exit:
        """Wait for Claude's end; everything it wrote has been passed on when this returns."""
        while self._exit is None:
            select.select([self._signals.fd], [], [], self._timeout())
            self._handle_signals()
        deadline = time.monotonic() + self._limits.drain_time
        for copier in self._copiers:
            copier.finish(deadline)
        assert self._process is not None and self._process.stdout is not None and self._process.stderr is not None
        self._process.stdout.close()
        self._process.stderr.close()
        return self._exit

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
        try:
            typed = os.tcgetpgrp(2) == os.getpgrp()
        except OSError:
            typed = False
        if not typed:
            self._send(signal.SIGINT)

    def _suspend(self) -> None:
        os.kill(os.getpid(), signal.SIGSTOP)
        self._send(signal.SIGCONT)


class _Copier:
    """Thread: reads one pipe of Claude's, writes to our own stream, then hands on what passed."""

    def __init__(self, name: str, from_fd: int, to_fd: int, sink: OutputSink) -> None:
        self._from = from_fd
        self._to = to_fd
        self._sink = sink
        self._wake_read, self._wake_write = os.pipe2(os.O_CLOEXEC)
        self._thread = threading.Thread(target=self._run, name=name)

    def start(self) -> None:
        self._thread.start()

    def finish(self, deadline: float) -> None:
        """After Claude's end: wait for the last byte, but not for a grandchild that keeps the pipe open."""
        self._thread.join(max(deadline - time.monotonic(), 0.05))
        os.write(self._wake_write, b"x")
        self._thread.join()
        os.close(self._wake_read)
        os.close(self._wake_write)

    def _run(self) -> None:
        try:
            self._copy()
        except Exception:
            log.exception("%s failed", self._thread.name)
        finally:
            self._sink.finish()

    def _copy(self) -> None:
        reading = True
        while reading:
            deadline = self._sink.deadline
            timeout = None if deadline is None else max(deadline - time.monotonic(), 0.0)
            ready, _, _ = select.select([self._from, self._wake_read], [], [], timeout)
            if self._from in ready:
                reading = self._pass_on(os.read(self._from, READ_SIZE))
            elif ready:
                return
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
