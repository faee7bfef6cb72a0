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
        self._came: set[int] = set()
        self._previous: dict[int, object] = {}
        self._previous_wakeup = -1

    def __enter__(self) -> Signals:
        self.fd, self._write_fd = os.pipe()
        os.set_blocking(self.fd, False)
        os.set_blocking(self._write_fd, False)
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
        """The numbers that came since the last call, without WAKE. Main thread; does not block."""
        numbers, self._came = self.pending(), set()
        return set(numbers)

    def pending(self) -> set[int]:
        """As read(), but they stay for read() to give."""
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self.fd, 4096):
                self._came.update(data)
        self._came.discard(WAKE)
        return self._came


def suspend_job() -> None:
    """Stop as Ctrl-Z does, and return when continued. Main thread.

    The whole process group: a script that started us stops too, else its shell would never see that we did. Where no
    shell is there to continue us (tmux, a container) the kernel drops the signal, and this returns at once.
    """
    previous = signal.getsignal(signal.SIGTSTP)
    if previous is signal.SIG_IGN:
        return
    signal.signal(signal.SIGTSTP, signal.SIG_DFL)
    os.kill(0, signal.SIGTSTP)
    signal.signal(signal.SIGTSTP, previous)


def _do_nothing(number: int, frame: object) -> None:
    pass
