"""The stand-in's terminal: raw mode, the alternate screen, keys. It is restored on every way out."""

from __future__ import annotations

import codecs
import os
import re
import select
import signal
import termios
import tty

IN, OUT = 0, 1
ESCAPE_TIME = 0.02  # seconds; the rest of an escape sequence arrives sooner, the next key of a person later
ENTER = "\x1b[?2004h\x1b[?1004h\x1b[?1049h\x1b[2J\x1b[H\x1b[?25l"
LEAVE = "\x1b[?25h\x1b[?1004l\x1b[?1049l\x1b[?2004l\x1b]0;\x07"
# Sequences that are not keys we know: focus reports, paste brackets, arrows, answers to queries.
_NO_KEY = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|O.|P[^\x1b]*\x1b\\)")


class Gone(Exception):
    """The terminal's other side is closed."""


def write(text: str) -> None:
    """Write to stdout. Blocks until all of it is taken.

    Raises:
        Gone: nobody reads it any more.
    """
    data = text.encode()
    try:
        while data:
            data = data[os.write(OUT, data) :]
    except OSError:
        raise Gone from None


class Terminal:
    """The terminal on stdin and stdout. Belongs to one thread."""

    def __init__(self) -> None:
        self._saved = termios.tcgetattr(IN)
        self._old: list[str] = []  # the lines drawn last
        self._decode = codecs.getincrementaldecoder("utf-8")("ignore").decode

    def enter(self, alternate: bool = True) -> None:
        """Take the terminal over: raw mode and, if wanted, the alternate screen."""
        tty.setraw(IN)
        self._old, self._alternate = [], alternate
        if alternate:
            write(ENTER)

    def leave(self) -> None:
        """Put the terminal back as it was. Never raises, so that it is safe on every way out."""
        try:
            write(LEAVE)
            termios.tcsetattr(IN, termios.TCSANOW, self._saved)
        except (Gone, termios.error):
            pass

    def size(self) -> os.terminal_size:
        """Columns and rows; 80 by 24 where the terminal does not know."""
        size = os.get_terminal_size(OUT)
        return size if size.columns and size.lines else os.terminal_size((80, 24))

    def draw(self, lines: list[str], title: str) -> None:
        """Write the rows that differ from those drawn before.

        Each row is erased before it is written. After a line as wide as the terminal the cursor still stands in the last
        column (ECMA-48's pending wrap), so erasing to the end of the line afterwards would take its last character.
        """
        if len(self._old) != len(lines):
            write("\x1b[2J")
            self._old = ["\x00"] * len(lines)
        changed = [
            f"\x1b[{n};1H\x1b[K{new}"
            for n, (new, old) in enumerate(zip(lines, self._old, strict=True), 1)
            if new != old
        ]
        self._old = lines
        if changed:
            write(f"\x1b]0;{title}\x07" + "".join(changed))

    def gone(self) -> bool:
        """Whether the terminal's other side has been closed."""
        try:
            termios.tcgetattr(IN)
        except termios.error:
            return True
        return False

    def forget(self) -> None:
        """Make the next draw() write everything."""
        self._old = []

    def read_keys(self) -> list[str]:
        """What was typed, as single characters. Blocks until there is something.

        Raises:
            Gone: the input has ended.
        """
        data = self._read()
        if b"\x1b" in data and select.select([IN], [], [], ESCAPE_TIME)[0]:
            data += self._read()
        return list(_NO_KEY.sub("", self._decode(data)))

    def _read(self) -> bytes:
        try:
            data = os.read(IN, 4096)
        except OSError:
            data = b""
        if not data:
            raise Gone
        return data

    def suspend(self) -> None:
        """Give the terminal back and stop, as Ctrl-Z asks for; returns when the process is continued.

        SIGSTOP rather than SIGTSTP: the kernel drops the latter in an orphaned process group, and a child that leads
        a terminal of its own is in one.
        """
        self.leave()
        os.kill(os.getpid(), signal.SIGSTOP)
        self.enter(self._alternate)
