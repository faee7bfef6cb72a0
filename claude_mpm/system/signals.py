"""Signals as bytes on a pipe: handlers do nothing, the main thread reads what came."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
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
        self._write_lock = threading.Lock()  # keeps _write_fd open while wake() writes to it
        self._write_fd = -1
        self._pending: set[int] = set()
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
        with self._write_lock:  # a reader thread left behind must not write to whatever gets this number next
            os.close(self._write_fd)
            self._write_fd = -1
        os.close(self.fd)

    def wake(self) -> None:
        """Let the main thread's poll() return. Any thread, at any time."""
        with self._write_lock:
            if self._write_fd >= 0:
                with contextlib.suppress(BlockingIOError):  # full: it will wake anyway
                    os.write(self._write_fd, bytes([WAKE]))

    def read(self) -> set[int]:
        """The signals that came since the last call. Main thread; does not block."""
        numbers, self._pending = self.pending(), set()
        return numbers

    def pending(self) -> set[int]:
        """As read(), but read() will return them again."""
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self.fd, 4096):
                self._pending.update(data)
        self._pending.discard(WAKE)
        return self._pending


def suspend_job() -> None:
    """Stop as Ctrl-Z does, and return when continued. Main thread.

    The whole process group stops, because otherwise the shell of a script that started us would never see that we
    did. Where no shell is there to continue us (tmux, a container) the kernel drops the signal, and this returns at
    once.
    """
    previous = signal.getsignal(signal.SIGTSTP)
    if previous is signal.SIG_IGN:
        return
    signal.signal(signal.SIGTSTP, signal.SIG_DFL)
    os.kill(0, signal.SIGTSTP)
    signal.signal(signal.SIGTSTP, previous)


def _do_nothing(number: int, frame: object) -> None:
    pass
