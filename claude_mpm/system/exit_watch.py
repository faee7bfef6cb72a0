"""Waits for the end of a process that is not our child."""

from __future__ import annotations

import os
import select
import time
from contextlib import suppress
from types import TracebackType

from claude_mpm.system.processes import process_identity

EXIT_POLL = 0.2  # seconds between two checks on systems without pidfds


class ExitWatch:
    """Watches one process from the moment this is built. For one thread; close() it, or use `with`."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._identity = process_identity(pid)
        self._pidfd: int | None = None
        if self._identity is not None and hasattr(os, "pidfd_open"):
            with suppress(OSError):  # it has just ended, or this is a kernel before 5.3
                self._pidfd = os.pidfd_open(pid)

    def fileno(self) -> int | None:
        """Return a descriptor that becomes readable when the process ends; None if it has ended or pidfds are missing."""
        return self._pidfd

    def wait(self, wake_fd: int | None = None, timeout: float | None = None) -> bool:
        """Block until the process has ended, `wake_fd` is readable or `timeout` seconds have passed.

        Returns whether the process has ended.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        poller = select.poll()
        for fd in (self._pidfd, wake_fd):
            if fd is not None:
                poller.register(fd, select.POLLIN)
        while self._runs():
            pause = EXIT_POLL if self._pidfd is None else None
            if deadline is not None:
                left = max(deadline - time.monotonic(), 0.0)
                pause = left if pause is None else min(pause, left)
            ready = poller.poll(None if pause is None else pause * 1000)
            if any(fd == wake_fd for fd, _ in ready) or (deadline is not None and time.monotonic() >= deadline):
                return not self._runs()
        return True

    def _runs(self) -> bool:
        return self._identity is not None and process_identity(self._pid) == self._identity

    def close(self) -> None:
        """Release the descriptor; closing twice is harmless."""
        if self._pidfd is not None:
            os.close(self._pidfd)
            self._pidfd = None

    def __enter__(self) -> ExitWatch:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
