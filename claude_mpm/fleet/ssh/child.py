"""One run of ssh: its three pipes, and its end."""

from __future__ import annotations

import os
import select
import subprocess
from collections.abc import Sequence

from claude_mpm.fleet.ssh.outbox import Outbox

READ_BYTES = 256 * 1024
ERROR_BYTES = 8 * 1024  # of stderr that are kept, the last ones
LEAVE_TIME = 1.0  # seconds for ssh to end once its stdin is closed; the bridge ends with that
TERMINATE_TIME = 2.0  # seconds between SIGTERM and SIGKILL


class SshChild:
    """A child process that is read from and written to by one thread.

    Raises:
        OSError: it cannot be started.
    """

    def __init__(self, argv: Sequence[str]) -> None:
        pipe = subprocess.PIPE
        # In a session of its own it has no terminal, so it cannot ask there, and Ctrl-C does not reach it.
        self._process = subprocess.Popen(argv, bufsize=0, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True)
        assert self._process.stdin and self._process.stdout and self._process.stderr
        self._stdin, self._stdout, self._stderr = self._process.stdin, self._process.stdout, self._process.stderr
        for stream in (self._stdin, self._stdout, self._stderr):
            os.set_blocking(stream.fileno(), False)
        self._errors = b""
        self._errors_ended = False

    @property
    def errors(self) -> str:
        """The end of what it has written to stderr."""
        return self._errors.decode("utf-8", "replace")

    def exchange(self, outbox: Outbox, timeout: float | None) -> bytes | None:
        """Wait until something can be read or written, the outbox wakes us, or `timeout` seconds have passed; do it.

        Returns:
            what came on stdout, b"" if nothing did; None once stdout has ended.
        """
        poll = select.poll()
        poll.register(outbox.wake_fd, select.POLLIN)
        poll.register(self._stdout, select.POLLIN)
        if not self._errors_ended:
            poll.register(self._stderr, select.POLLIN)
        if not outbox.is_empty:
            poll.register(self._stdin, select.POLLOUT)
        ready = dict(poll.poll(None if timeout is None else max(timeout, 0) * 1000))
        if outbox.wake_fd in ready:
            outbox.awake()
        if self._stderr.fileno() in ready:
            self._read_errors()
        if self._stdin.fileno() in ready:
            try:
                outbox.write_to(self._stdin.fileno())
            except BrokenPipeError:
                outbox.clear()  # it is about to end, and stdout with it
        if self._stdout.fileno() in ready:
            return os.read(self._stdout.fileno(), READ_BYTES) or None
        return b""

    def end(self) -> int:
        """Close its pipes, wait for it or make it end, and return its exit code, negative for a signal.

        Blocks for LEAVE_TIME + TERMINATE_TIME at most.
        """
        self._stdin.close()
        self._stdout.close()
        for wait, then in ((LEAVE_TIME, self._process.terminate), (TERMINATE_TIME, self._process.kill)):
            try:
                self._process.wait(wait)
                break
            except subprocess.TimeoutExpired:
                then()
        code = self._process.wait()
        self._read_errors()
        self._stderr.close()
        return code

    def _read_errors(self) -> None:
        """Take what stderr has now. A connection that ssh shares may hold it open beyond the end of this process."""
        try:
            while data := os.read(self._stderr.fileno(), READ_BYTES):
                self._errors = (self._errors + data)[-ERROR_BYTES:]
            self._errors_ended = True
        except BlockingIOError:
            pass
