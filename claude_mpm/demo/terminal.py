"""The stand-in's own terminal: raw mode, alternate screen, keys; restored on every way out."""

from __future__ import annotations

import codecs
import os
import re
import select
import signal
import termios
import tty

IN, OUT = 0, 1
ESCAPE_TIME = 0.02  # seconds; the rest of a sequence follows its ESC at once, a person's next key does not
ENTER = "\x1b[?2004h\x1b[?1004h\x1b[?1049h\x1b[2J\x1b[H\x1b[?25l"
LEAVE = "\x1b[?25h\x1b[?1004l\x1b[?1049l\x1b[?2004l\x1b]0;\x07"
# sequences that are no key of ours: reports of focus, paste brackets, arrows, answers to queries
_NO_KEY = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|O.|P[^\x1b]*\x1b\\)")


class Gone(Exception):
    """The terminal's other side is closed."""


def write(text: str) -> None:
    """Blocks until the terminal took everything.

    Raises:
        Gone: it never will.
    """
    data = text.encode()
    try:
        while data:
            data = data[os.write(OUT, data) :]
    except OSError:
        raise Gone from None


class Terminal:
    def __init__(self) -> None:
        self._saved = termios.tcgetattr(IN)
        self._old: list[str] = []  # the lines last drawn
        self._decode = codecs.getincrementaldecoder("utf-8")("ignore").decode

    def enter(self, alternate: bool = True) -> None:
        tty.setraw(IN)
        self._old, self._alternate = [], alternate
        if alternate:
            write(ENTER)

    def leave(self) -> None:
        """As it was before. Never raises: it is the way out."""
        try:
            write(LEAVE)
            termios.tcsetattr(IN, termios.TCSANOW, self._saved)
        except (Gone, termios.error):
            pass

    def size(self) -> os.terminal_size:
        size = os.get_terminal_size(OUT)
        return size if size.columns and size.lines else os.terminal_size((80, 24))

    def draw(self, lines: list[str], title: str) -> None:
        """Write the rows that differ from those drawn before."""
        if len(self._old) != len(lines):
            write("\x1b[2J")
            self._old = ["\x00"] * len(lines)
        changed = [
            f"\x1b[{n};1H{new}\x1b[K"
            for n, (new, old) in enumerate(zip(lines, self._old, strict=True), 1)
            if new != old
        ]
        self._old = lines
        if changed:
            write(f"\x1b]0;{title}\x07" + "".join(changed))

    def gone(self) -> bool:
        try:
            termios.tcgetattr(IN)
        except termios.error:
            return True
        return False

    def forget(self) -> None:
        """The next draw() writes everything."""
        self._old = []

    def read_keys(self) -> list[str]:
        """What was typed: single characters.

        Raises:
            Gone: end of input.
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
        """Give the terminal back and stop, as on Ctrl-Z; returns when continued. SIGSTOP, because the kernel drops
        SIGTSTP in an orphaned process group, which a child on a fresh terminal is."""
        self.leave()
        os.kill(os.getpid(), signal.SIGSTOP)
        self.enter(self._alternate)
