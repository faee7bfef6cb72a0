"""The user's own terminal: raw while Claude has it, as it was ever after."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import select
import struct
import termios
import tty
from collections.abc import Callable
from typing import Any

Winsize = bytes  # struct winsize as the kernel has it: rows, cols and the pixel sizes, four unsigned shorts
DEFAULT_WINSIZE = struct.pack("HHHH", 24, 80, 0, 0)


def get_winsize(fd: int) -> Winsize:
    """The size of the terminal on `fd`; 24 x 80 when it has none (a new PTY is 0 x 0)."""
    try:
        size = fcntl.ioctl(fd, termios.TIOCGWINSZ, b"\0" * 8)
    except OSError:
        return DEFAULT_WINSIZE
    return size if size[:4] != b"\0" * 4 else DEFAULT_WINSIZE


def set_winsize(fd: int, size: Winsize) -> None:
    """Size the terminal on `fd`; the kernel tells its foreground processes (SIGWINCH)."""
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
        """What tcgetattr says; None when the terminal is gone."""
        try:
            return termios.tcgetattr(self.in_fd)
        except (termios.error, OSError):
            return None

    def claim(self, give_up: Callable[[], bool]) -> bool:
        """Wait until we are the terminal's foreground job, stopping as any background job does that wants it.

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
        """Every key is a byte for Claude from now on, Ctrl-C too."""
        if self._saved is None:
            self._saved = self.attributes()
        with contextlib.suppress(termios.error, OSError):
            tty.setraw(self.in_fd, termios.TCSANOW)

    def restore(self) -> None:
        """Settings as raw() found them. Idempotent; a terminal that is gone is fine.

        TCSANOW, not TCSADRAIN: output stopped by Ctrl-S would keep us here for ever.
        """
        saved, self._saved = self._saved, None
        if saved is not None:
            with contextlib.suppress(termios.error, OSError):
                termios.tcsetattr(self.in_fd, termios.TCSANOW, saved)

    def winsize(self) -> Winsize:
        return get_winsize(self.out_fd)


_SEQUENCE = re.compile(
    rb"\x1b\[(?:\?(?P<modes>[0-9;]+)(?P<set>[hl])|>(?P<push>[0-9;]*)u|<(?P<pop>[0-9]*)u|>4(?:;(?P<keys>[0-9]*))?m)"
)
_UNFINISHED = re.compile(rb"\x1b(?:\[[?<>]?[0-9;]{0,64})?\Z")
# Modes that hurt the shell when a program dies and leaves them on: mouse, focus, bracketed paste, synchronized
# output, theme reports, application cursor keys, alternate screens.
_OFF_AFTER = frozenset(
    {1, 9, 47, 1000, 1001, 1002, 1003, 1004, 1005, 1006, 1007, 1015, 1016, 1047, 1049, 2004, 2026, 2031}
)
_ALTERNATE = frozenset({47, 1047, 1049})
_CURSOR = 25


class ModeTracker:
    """Which modes a program switched on in the terminal and has not switched off: what it owes on the way out.

    Pure: bytes in, bytes out. Modes and names: xterm's ctlseqs, kitty's keyboard protocol.
    """

    def __init__(self) -> None:
        self._on: set[int] = set()
        self._cursor_hidden = False
        self._keyboard_pushes = 0
        self._modify_keys = False
        self._rest = b""

    def feed(self, data: bytes) -> None:
        """Look at output as it passes, in pieces of any size."""
        data = self._rest + data
        for found in _SEQUENCE.finditer(data):
            if found["modes"] is not None:
                self._modes(found["modes"], found["set"] == b"h")
            elif found["push"] is not None:
                self._keyboard_pushes += 1
            elif found["pop"] is not None:
                self._keyboard_pushes = max(self._keyboard_pushes - int(found["pop"] or b"1"), 0)
            else:
                self._modify_keys = found["keys"] not in (None, b"", b"0")
        unfinished = _UNFINISHED.search(data)
        self._rest = unfinished[0] if unfinished else b""

    def _modes(self, numbers: bytes, on: bool) -> None:
        for number in (int(n) for n in numbers.split(b";") if n and len(n) < 8):
            if number == _CURSOR:
                self._cursor_hidden = not on
            elif number in _OFF_AFTER:
                (self._on.add if on else self._on.discard)(number)

    def undo(self) -> bytes:
        """The bytes that switch off what is still on; empty after a program that cleaned up itself."""
        parts = []
        if self._keyboard_pushes:
            parts.append(b"\x1b[<%du" % self._keyboard_pushes)
        if self._modify_keys:
            parts.append(b"\x1b[>4;0m")
        parts += [b"\x1b[?%dl" % mode for mode in sorted(self._on - _ALTERNATE)]
        parts += [b"\x1b[?%dl" % mode for mode in sorted(self._on & _ALTERNATE)]
        if self._cursor_hidden:
            parts.append(b"\x1b[?25h")
        if parts:
            parts.append(b"\x1b[0m")
        self.__init__()  # type: ignore[misc]  # all is off now
        return b"".join(parts)


def write_all(fd: int, data: bytes) -> None:
    """Write everything, waiting as long as the reader makes us: this is the user's own terminal or pipe.

    Raises:
        OSError: the other end is gone (EPIPE, EIO).
    """
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:  # somebody made the shared description non-blocking
            select.select([], [fd], [])
