"""Signals as bytes on a pipe: handlers do nothing, the main thread reads what came."""

from __future__ import annotations

import contextlib
import os
import signal
from types import TracebackType

HANDLED = (
    signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGCHLD, signal.SIGWINCH, signal.SIGCONT, signal.SIGTSTP,
)  # fmt: skip
WAKE = 0  # the byte of wake(); no signal has this number


class Signals:
    """While entered, the signals in HANDLED arrive at `fd`. Enter and leave in the main thread.

    A signal that was ignored when we started stays ignored (`nohup`, a script's `&`): so does Claude then.
    """

    def __init__(self) -> None:
        self.fd = -1
        self._write_fd = -1
        self._previous: dict[int, object] = {}
        self._previous_wakeup = -1

    def __enter__(self) -> Signals:
        self.fd, self._write_fd = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._previous_wakeup = signal.set_wakeup_fd(self._write_fd, warn_on_full_buffer=False)
        for number in HANDLED:
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._previous[number] = signal.signal(number, _do_nothing)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        signal.set_wakeup_fd(self._previous_wakeup)
        for number, handler in self._previous.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        write_fd, self._write_fd = self._write_fd, -1
        os.close(write_fd)
        os.close(self.fd)

    def wake(self) -> None:
        """Let the main thread's select() return. Any thread."""
        with contextlib.suppress(OSError):  # full: it will wake anyway; closed: nobody waits
            if self._write_fd >= 0:
                os.write(self._write_fd, bytes([WAKE]))

    def read(self) -> set[int]:
        """The numbers that came since the last call, without WAKE. Does not block."""
        numbers: set[int] = set()
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self.fd, 4096):
                numbers.update(data)
        return numbers - {WAKE}


def _do_nothing(number: int, frame: object) -> None:
    pass
