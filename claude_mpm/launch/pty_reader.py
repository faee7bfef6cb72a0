"""Claude's terminal to the user's: the thread that copies what Claude writes."""

from __future__ import annotations

import errno
import logging
import os
import select
import threading
import time

from claude_mpm.launch.reader import AFTER_END, READ_SIZE, OutputSink, Reader
from claude_mpm.launch.signals import Signals
from claude_mpm.launch.terminal import ModeTracker, write_all

log = logging.getLogger(__name__)

LAG_TIME = 0.05  # seconds; what was written to a PTY shows at its other end a moment later


class PtyReader(Reader):
    """Thread `pty-reader`: Claude's bytes to the user's terminal first, then to the sink."""

    def __init__(self, master: int, out_fd: int, sink: OutputSink, drain_time: float, signals: Signals) -> None:
        super().__init__("pty-reader", sink, drain_time, signals)
        self._master = master
        self._out = out_fd
        self._modes = ModeTracker()
        self._quiet = threading.Event()  # nothing is there to read at the moment

    def settle(self, timeout: float) -> None:
        """Wait until what Claude wrote so far is on the terminal."""
        self._quiet.clear()
        os.write(self._wake_write, b"s")
        self._quiet.wait(timeout)

    def _copy(self) -> None:
        """At the end, switch off in the user's terminal what Claude left on."""
        try:
            self._pass_on()
            self._write(self._modes.undo())
        finally:
            self._quiet.set()

    def _pass_on(self) -> None:
        until: float | None = None  # set when Claude has ended
        left = AFTER_END
        while left > 0:
            if until is not None:
                timeout: float | None = min(LAG_TIME, max(until - time.monotonic(), 0.0))
            else:
                deadline = self._sink.deadline
                timeout = None if deadline is None else max(deadline - time.monotonic(), 0.0)
            ready, _, _ = select.select([self._master, self._wake_read], [], [], timeout)
            if self._master in ready:
                size = self._read()
                if not size:
                    return
                left -= size if until is not None else 0
            if self._wake_read in ready and b"f" in os.read(self._wake_read, 64):
                until = time.monotonic() + self._drain_time
            if self._master not in ready:
                self._quiet.set()
                if until is not None and not ready:
                    return  # Claude is dead and nothing is left in the PTY
            self._sink.tick()

    def _read(self) -> int:
        """Copy what is there; how many bytes. 0 at the end (EIO: the last process closed the terminal)."""
        try:
            data = os.read(self._master, READ_SIZE)
        except BlockingIOError:
            return 1
        except OSError as error:
            if error.errno != errno.EIO:
                log.warning("Claude's terminal cannot be read: %s", error.strerror)
            return 0
        if data:
            self._write(data)
            self._modes.feed(data)
            self._sink.feed(data)
        return len(data)

    def _write(self, data: bytes) -> None:
        if self._out < 0 or not data:
            return
        try:
            write_all(self._out, data)
        except OSError:  # the user's terminal is gone: SIGHUP is on its way, Claude goes on until then
            self._out = -1
