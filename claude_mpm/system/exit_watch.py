"""The end of a process that is not our child."""

from __future__ import annotations

import os
import select
import time
from contextlib import suppress
from types import TracebackType

from claude_mpm.system.processes import process_identity

EXIT_POLL = 0.2  # seconds between two looks where the system has no pidfd


class ExitWatch:
    """Waits for the end of a process that is not our child. For one thread; close() or `with` when done."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._identity = process_identity(pid)
        self._pidfd: int | None = None
        if self._identity is not None and hasattr(os, "pidfd_open"):
            with suppress(OSError):  # gone just now, or a kernel before 5.3
                self._pidfd = os.pidfd_open(pid)

    def fileno(self) -> int | None:
        """A descriptor that is readable when the process has ended; None: this system has none, or it is gone."""
        return self._pidfd

    def wait(self, wake_fd: int | None = None, timeout: float | None = None) -> bool:
        """Block until the process ended (True), or `wake_fd` is readable or `timeout` seconds passed (False)."""
        deadline = None if timeout is None else time.monotonic() + timeout
        poller = select.poll()
        for fd in (self._pidfd, wake_fd):
            if fd is not None:
                poller.register(fd, select.POLLIN)
        while self._runs():
            left = EXIT_POLL if self._pidfd is None else None
            if deadline is not None:
                rest = max(deadline - time.monotonic(), 0.0)
                left = rest if left is None else min(left, rest)
            ready = poller.poll(None if left is None else left * 1000)
            if any(fd == wake_fd for fd, _ in ready) or (deadline is not None and time.monotonic() >= deadline):
                return not self._runs()
        return True

    def _runs(self) -> bool:
        return self._identity is not None and process_identity(self._pid) == self._identity

    def close(self) -> None:
        if self._pidfd is not None:
            os.close(self._pidfd)
            self._pidfd = None

    def __enter__(self) -> ExitWatch:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
