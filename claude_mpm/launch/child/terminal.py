"""The user's own terminal: in raw mode while Claude runs, restored afterwards."""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
import termios
import tty
from collections.abc import Callable
from typing import Any

from claude_mpm.system.poll import wait_ready

Winsize = bytes  # the kernel's struct winsize: rows, columns and the size in pixels, four unsigned shorts
DEFAULT_WINSIZE = struct.pack("HHHH", 24, 80, 0, 0)


def get_winsize(fd: int) -> Winsize:
    """The size of the terminal on `fd`; 24 × 80 where none is set (a new PTY is 0 × 0)."""
    try:
        size = fcntl.ioctl(fd, termios.TIOCGWINSZ, b"\0" * 8)
    except OSError:
        return DEFAULT_WINSIZE
    return size if size[:4] != b"\0" * 4 else DEFAULT_WINSIZE


def set_winsize(fd: int, size: Winsize) -> None:
    """Set the size of the terminal on `fd`; the kernel sends SIGWINCH to its foreground processes."""
    fcntl.ioctl(fd, termios.TIOCSWINSZ, size)


def winsize(rows: int, cols: int) -> Winsize:
    return struct.pack("HHHH", rows, cols, 0, 0)


def rows_and_cols(size: Winsize) -> tuple[int, int]:
    rows, cols, _, _ = struct.unpack("HHHH", size)
    return rows, cols


class Terminal:
    """The terminal the user sits at. Main thread only."""

    def __init__(self, in_fd: int = 0, out_fd: int = 1) -> None:
        self.in_fd = in_fd
        self.out_fd = out_fd
        self._saved: list[Any] | None = None

    def attributes(self) -> list[Any] | None:
        """The terminal's settings, as tcgetattr() returns them; None when the terminal has gone."""
        try:
            return termios.tcgetattr(self.in_fd)
        except (termios.error, OSError):
            return None

    def claim(self, give_up: Callable[[], bool]) -> bool:
        """Wait until we are the terminal's foreground job; until then we are stopped, like any background job that reads.

        Returns False when `give_up()`, asked before each stop, said so. A terminal without job control is ours at once.
        """
        while True:
            try:
                if os.tcgetpgrp(self.in_fd) == os.getpgrp():
                    return True
                if give_up():
                    return False
                os.tcsetpgrp(self.in_fd, os.getpgrp())  # SIGTTOU stops us here until `fg`
            except InterruptedError:
                continue
            except OSError:  # not our controlling terminal, or gone
                return True

    def raw(self) -> None:
        """Switch to raw mode: from now on every key is a byte for Claude, even Ctrl-C."""
        if self._saved is None:
            self._saved = self.attributes()
        with contextlib.suppress(termios.error, OSError):
            tty.setraw(self.in_fd, termios.TCSANOW)

    def restore(self) -> None:
        """Restore the settings that raw() found. Idempotent, and harmless when the terminal has gone.

        TCSANOW, not TCSADRAIN: output stopped by Ctrl-S would keep us here for ever.
        """
        saved, self._saved = self._saved, None
        if saved is not None:
            with contextlib.suppress(termios.error, OSError):
                termios.tcsetattr(self.in_fd, termios.TCSANOW, saved)

    def winsize(self) -> Winsize:
        return get_winsize(self.out_fd)


def write_all(fd: int, data: bytes) -> None:
    """Write all of `data`. Blocks for as long as the user's own terminal or pipe does.

    Raises:
        OSError: the other end is gone (EPIPE, EIO).
    """
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:  # somebody made the shared description non-blocking
            wait_ready([], [fd])
